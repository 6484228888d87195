"""Margin-based prototypical contrastive loss (arXiv 2309.06987; form reconstructed).

The abstract names a margin-based prototypical contrastive loss with prototype-data and implicit
data-data interaction. The form here is our reconstruction: Proxy-Anchor (Kim et al., CVPR 2020)
with prototypes as anchors, and the adaptive weights of Circle loss (Sun et al., CVPR 2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from gzsl_dist.losses.registry import EmbeddingLoss, Margin, Positive
from gzsl_dist.losses.similarities import at_least_float32, pair_logits

if TYPE_CHECKING:
    from torch import Tensor


class PrototypeLoss(EmbeddingLoss):
    """Prototypical contrastive loss."""

    name = "prototype"
    compares = "prototypes"

    source: Literal["learned", "semantic", "ema"] = Field(
        "semantic",
        description="Prototypes as parameters, as a network of the semantics, or as moving means.",
    )
    momentum: float = Field(
        0.9, ge=0, lt=1, description="Share of the old mean that stays (source ema)."
    )
    form: Literal["anchors", "softmax"] = Field(
        "anchors",
        description="Prototypes as anchors of rows (the method), or as class weights of a margin "
        "softmax (CosFace), which has no adaptive weights.",
    )
    adaptive: bool | None = Field(
        None, description="Adaptive weights (the method) or fixed ones (Proxy-Anchor)."
    )
    margin: Margin = Field(0.1, description="Margin m, in [0, 1].")
    scale: Positive = Field(10.0, description="Scale g of the similarities.")

    @property
    def by_class(self) -> bool:
        """A softmax needs all classes of a row; prototypes as anchors are shared out."""
        return self.form == "anchors"

    def __call__(
        self, embeddings: Tensor, labels: Tensor, prototypes: Tensor, **part: Any
    ) -> Tensor:
        """The configured form of the loss of some rows, or of some classes."""
        inputs, margin, scale = (embeddings, labels, prototypes), self.margin, self.scale
        if self.form == "softmax":
            return margin_softmax_loss(*inputs, margin=margin, scale=scale, **part)
        adaptive = bool(self.adaptive)
        return prototype_loss(*inputs, margin=margin, scale=scale, adaptive=adaptive, **part)


def prototype_loss(
    embeddings: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    *,
    margin: float,
    scale: float,
    adaptive: bool = True,
    classes: slice | None = None,
    class_count: int | None = None,
) -> Tensor:
    """Pull rows to the prototype of their class and push them from all others.

    With similarities ``s_ic = <u_i, p_c>``::

        1/|C+| sum_{c in C+} log(1 + sum_{i: y_i = c}  exp(-g w+_ic (s_ic - D+)))
      + 1/|C|  sum_{c}       log(1 + sum_{i: y_i != c} exp( g w-_ic (s_ic - D-)))

    Adaptive: ``w+ = [1 + m - s]_+``, ``w- = [s + m]_+`` (no gradient), ``D+ = 1 - m``, ``D- = m``.
    Fixed: ``w = 1``, ``D+ = m``, ``D- = -m``, which is Proxy-Anchor exactly.

    Args:
        embeddings: ``(batch, d_u)`` unit vectors of the *global* batch.
        labels: ``(batch,)`` class of each row, in ``[0, class_count)``.
        prototypes: ``(classes, d_u)`` unit vectors of the classes in `classes`.
        margin: m, in [0, 1].
        scale: g, above 0.
        adaptive: weights for every single similarity (the method), or fixed ones (the ablation).
        classes: the share of classes that `prototypes` holds, default all. The losses of shares
            that partition the classes add up to the loss, so each process computes a block of
            ``batch x classes / processes`` similarities.
        class_count: |C|, needed with `classes`; default the number of prototypes.

    Returns:
        Scalar >= 0 in float32 or better; 0 for an empty share.
    """
    import torch

    count = len(prototypes) if class_count is None else class_count
    first = 0 if classes is None else classes.start
    similarity = prototypes @ embeddings.T  # (classes, batch)
    own = torch.arange(first, first + len(prototypes), device=labels.device)
    positive = own[:, None] == labels[None, :]
    attract, repel = pair_logits(similarity, margin=margin, scale=scale, adaptive=adaptive)
    attract = attract.masked_fill(~positive, -torch.inf)
    repel = repel.masked_fill(positive, -torch.inf)
    present = similarity.new_zeros(count).index_fill(0, labels, 1).sum()
    loss: Tensor = log1p_sum_exp(attract).sum() / present + log1p_sum_exp(repel).sum() / count
    return loss


def log1p_sum_exp(logits: Tensor) -> Tensor:
    """``log(1 + sum_j exp(logits_ij))`` for each row, stable; an all ``-inf`` row gives 0."""
    import torch

    zero = logits.new_zeros(len(logits), 1)
    result: Tensor = torch.logsumexp(torch.cat([zero, logits], dim=1), dim=1)
    return result


def margin_softmax_loss(
    embeddings: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    *,
    margin: float,
    scale: float,
    total: int,
) -> Tensor:
    """Softmax over the similarities of a row to all prototypes, the own one lowered by a margin.

    With ``s_ic = <u_i, p_c>`` (CosFace, Wang et al., CVPR 2018, eq. 4)::

        mean_i -log( exp(g (s_iy - m)) / (exp(g (s_iy - m)) + sum_{c != y} exp(g s_ic)) )

    Args:
        embeddings: ``(rows, d_u)`` unit vectors.
        labels: ``(rows,)`` class of each row, in ``[0, classes)``.
        prototypes: ``(classes, d_u)`` unit vectors of all classes trained with.
        margin: m, in [0, 1].
        scale: g, above 0.
        total: rows of the global batch. With fewer rows than that, the result is this share's
            part; the parts of all shares add up to the loss.

    Returns:
        Scalar >= 0 in float32 or better.
    """
    from torch.nn.functional import cross_entropy, one_hot

    similarity = at_least_float32(embeddings @ prototypes.T)
    own = one_hot(labels, len(prototypes)).to(similarity.dtype)
    loss: Tensor = cross_entropy(scale * (similarity - margin * own), labels, reduction="sum")
    return loss / total
