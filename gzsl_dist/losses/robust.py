"""Supervised contrastive loss with a margin and a temperature of each instance's own.

Qiu et al. (ICML 2023) derive the contrastive loss of an instance as a distributionally robust
optimization over its negatives, in which the temperature is a dual variable: each instance has the
one that its own similarities call for. Here their form (eq. 3) is taken to SupCon's sets (Khosla et
al., NeurIPS 2020), so that a margin between positives and negatives has a meaning.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from gzsl_dist.losses.similarities import anchor_block, at_least_float32, rows_with_positive

if TYPE_CHECKING:
    from torch import Tensor

LOWEST, HIGHEST = 0.01, 10.0
"""Temperatures that an instance may have."""
HALVINGS = 20  # of the logarithm's range: a temperature is within 1e-5 of its own value


def robust_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float,
    radius: float,
    anchors: slice | None = None,
) -> Tensor:
    """The hardest mean of similarities within a ball around the batch, less the positives' mean.

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
