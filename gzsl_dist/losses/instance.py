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
from gzsl_dist.losses.similarities import (
    anchor_block,
    at_least_float32,
    pair_logits,
    rows_with_positive,
)

if TYPE_CHECKING:
    from torch import Tensor

LOWEST, HIGHEST = 0.01, 10.0
"""Temperatures that an instance may have."""
HALVINGS = 20  # of the logarithm's range: a temperature is within 1e-5 of its own value


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


def supcon_loss(
    embeddings: Tensor, labels: Tensor, *, temperature: float, anchors: slice | None = None
) -> Tensor:
    """Supervised contrastive loss (Khosla et al., NeurIPS 2020, eq. 2, L_out), as in CE-GZSL.

    ::

        mean_i -1/|P(i)| sum_{k in P(i)} log( exp(s_ik / t) / sum_{j != i} exp(s_ij / t) )

    over the rows i that have a positive.

    Args:
        embeddings: ``(batch, d_u)`` unit vectors of the *global* batch.
        labels: ``(batch,)`` class of each row.
        temperature: t, above 0 (CE-GZSL: 0.1).
        anchors: the share of rows taken as i, as in `instance_loss`.

    Returns:
        Scalar >= 0; 0 where no row has a positive.
    """
    similarity, same, other = anchor_block(embeddings, labels, anchors)
    similarity = at_least_float32(similarity)
    logits = (similarity / temperature).masked_fill(~(same | other), -inf)
    positives = same.sum(dim=1)
    normalizer = logits.where((positives > 0)[:, None], 0).logsumexp(dim=1)
    attraction = logits.where(same, 0).sum(dim=1) / positives.clamp_min(1)
    terms = (normalizer - attraction).where(positives > 0, 0)
    return terms.sum() / rows_with_positive(labels)


def robust_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float,
    radius: float,
    anchors: slice | None = None,
) -> Tensor:
    """The hardest mean of similarities within a ball around the batch, less the positives' mean.

    Qiu et al. (ICML 2023) derive the contrastive loss of an instance as a distributionally robust
    optimization over its negatives, in which the temperature is a dual variable: each instance has
    the one that its own similarities call for. Here their form (eq. 3) is taken to SupCon's sets,
    so that a margin between positives and negatives has a meaning.

    With ``d_ij = s_ij + m [y_j != y_i] - mean_{k in P(i)} s_ik`` over the n other rows::

        mean_i min_t  t log( 1/n sum_{j != i} exp(d_ij / t) ) + t r

    over the rows i that have a positive, t in [0.01, 10]. By duality the minimum is the largest
    ``sum_j p_j d_ij`` of all distributions p with ``KL(p | uniform) <= r``, where the best t is
    inside its range. The gradient is that at the best t, which does not move to first order.

    Args:
        embeddings: ``(batch, d_u)`` unit vectors of the *global* batch.
        labels: ``(batch,)`` class of each row.
        margin: m, in [0, 1].
        radius: r, above 0; small: all rows weigh alike; log n and more: the hardest alone.
        anchors: the share of rows taken as i, as in `instance_loss`.

    Returns:
        Scalar, below 0 where positives are far closer than all others; 0 where no row has one.
    """
    similarity, same, other = anchor_block(embeddings, labels, anchors)
    similarity = at_least_float32(similarity)
    positives = same.sum(dim=1)
    own = similarity.where(same, 0).sum(dim=1) / positives.clamp_min(1)
    distance = similarity + margin * other - own[:, None]
    distance = distance.masked_fill(~(same | other), -inf)
    usable = positives > 0
    distance = distance.where(usable[:, None], 0)  # what is dropped has a gradient as well
    temperature = best_temperature(distance.detach(), radius)
    log_mean = (distance / temperature[:, None]).logsumexp(dim=1) - log_count(distance)
    terms = (temperature * (log_mean + radius)).where(usable, 0)
    return terms.sum() / rows_with_positive(labels)


def best_temperature(distance: Tensor, radius: float) -> Tensor:
    """``(rows,)`` of the t that minimizes ``t log mean exp(d / t) + t r``, by bisection.

    The slope in t is ``r - KL(softmax(d / t) | uniform)``, which grows with t. Entries of minus
    infinity are no part of a row.
    """
    lowest = distance.new_full(distance.shape[:1], LOWEST).log()
    highest = distance.new_full(distance.shape[:1], HIGHEST).log()
    entries = log_count(distance)
    for _ in range(HALVINGS):
        middle = (lowest + highest) / 2
        logits = distance / middle.exp()[:, None]
        share = logits.softmax(dim=1)
        mean = (share * logits.masked_fill(share == 0, 0)).sum(dim=1)
        too_low = mean - (logits.logsumexp(dim=1) - entries) > radius  # their divergence
        lowest = middle.where(too_low, lowest)
        highest = highest.where(too_low, middle)
    return ((lowest + highest) / 2).exp()


def log_count(distance: Tensor) -> Tensor:
    """``(rows,)`` logarithm of the number of finite entries of each row."""
    return distance.isfinite().sum(dim=1).to(distance.dtype).log()
