"""Instance adaptive contrastive loss (arXiv 2309.06987; form reconstructed).

The abstract complains of "inflexible optimization due to restricted scaling", to which Circle
loss (Sun et al., CVPR 2020) answers with a weight for every single similarity. The pair-wise form
of that loss over the global batch is our reconstruction.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gzsl_dist.losses.registry import EmbeddingLoss, Margin, Positive
from gzsl_dist.losses.robust import robust_loss
from gzsl_dist.losses.similarities import anchor_block, pair_logits, rows_with_positive
from gzsl_dist.losses.supcon import supcon_loss

if TYPE_CHECKING:
    from torch import Tensor


class InstanceLoss(EmbeddingLoss):
    """Instance contrastive loss."""

    name = "instance"
    compares = "rows"

    form: Literal["adaptive", "fixed", "supcon", "robust"] | None = Field(
        None,
        description="Adaptive weights (the method), fixed ones, SupCon (CE-GZSL), or SupCon with a "
        "margin and a temperature of each instance's own.",
    )
    margin: Margin = Field(0.1, description="Margin m, in [0, 1].")
    scale: Positive = Field(10.0, description="Scale g of the similarities.")
    temperature: Positive = Field(0.1, description="Temperature of SupCon.")
    radius: Positive = Field(
        2.0,
        description="Form robust: how far the weights of rows may be from equal, in nats.",
    )

    def __call__(self, embeddings: Tensor, labels: Tensor, *, anchors: slice) -> Tensor:
        """The configured form of the loss of some anchors."""
        margin = self.margin
        if self.form == "robust":
            return robust_loss(
                embeddings, labels, margin=margin, radius=self.radius, anchors=anchors
            )
        if self.form == "supcon":
            return supcon_loss(embeddings, labels, temperature=self.temperature, anchors=anchors)
        adaptive, scale = self.form == "adaptive", self.scale
        return instance_loss(
            embeddings, labels, margin=margin, scale=scale, adaptive=adaptive, anchors=anchors
        )


def instance_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float,
    scale: float,
    adaptive: bool = True,
    anchors: slice | None = None,
) -> Tensor:
    """Compare each row with every other row of the batch, each pair at its own pace.

    With ``s_ij = <u_i, u_j>``, P(i) the other rows of i's class and N(i) those of other classes::

        mean_i log(1 + sum_{j in N(i)} exp( g w-_ij (s_ij - D-))
                     * sum_{k in P(i)} exp(-g w+_ik (s_ik - D+)))

    over the rows i that have a positive. Weights and thresholds as in `prototype_loss`.

    Args:
        embeddings: ``(batch, d_u)`` unit vectors of the *global* batch.
        labels: ``(batch,)`` class of each row.
        margin: m, in [0, 1].
        scale: g, above 0.
        adaptive: adaptive (Circle loss) or fixed weights.
        anchors: the share of rows taken as i, default all. The losses of shares that partition
            the rows add up to the loss; a process holds ``batch^2 / processes`` similarities.

    Returns:
        Scalar >= 0; 0 where no row has a positive, or none a negative.
    """
    from torch.nn.functional import logsigmoid

    similarity, same, other = anchor_block(embeddings, labels, anchors)
    attract, repel = pair_logits(similarity, margin=margin, scale=scale, adaptive=adaptive)
    usable = (same.any(dim=1) & other.any(dim=1))[:, None]
    # A row without positives or negatives has an empty sum, whose logarithm has no gradient:
    # its logits become 0 and its term is dropped.
    attract = attract.masked_fill(~same, -inf).where(usable, 0)
    repel = repel.masked_fill(~other, -inf).where(usable, 0)
    exponent = attract.logsumexp(dim=1) + repel.logsumexp(dim=1)
    terms = (-logsigmoid(-exponent)).where(usable[:, 0], 0)
    return terms.sum() / rows_with_positive(labels)
