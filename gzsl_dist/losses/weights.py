"""Weights and thresholds of single similarities, shared by the contrastive losses."""

from __future__ import annotations

from torch import Tensor

from gzsl_dist.models.precision import at_least_float32


def pair_logits(
    similarity: Tensor, *, margin: float, scale: float, adaptive: bool
) -> tuple[Tensor, Tensor]:
    """Exponents of a similarity taken as a positive pair and as a negative pair.

    ``(-g w+ (s - D+), g w- (s - D-))``. Adaptive (Circle loss, Sun et al., CVPR 2020, eq. 5-8):
    ``w+ = [1 + m - s]_+``, ``w- = [s + m]_+`` without gradient, ``D+ = 1 - m``, ``D- = m``; the
    further a similarity is from its optimum, the harder it is pulled. Fixed (Proxy-Anchor, Kim et
    al., CVPR 2020, eq. 4): ``w = 1``, ``D+ = m``, ``D- = -m``.

    Args:
        similarity: any shape, cosines in [-1, 1]; half precision is raised to float32.
        margin: m, in [0, 1].
        scale: g, above 0.
        adaptive: which of the two forms.
    """
    s = at_least_float32(similarity)
    if adaptive:
        w_positive, w_negative = adaptive_weights(s.detach(), margin)
        return -scale * w_positive * (s - (1 - margin)), scale * w_negative * (s - margin)
    return -scale * (s - margin), scale * (s + margin)


def adaptive_weights(similarity: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """``w+ = [1 + m - s]_+`` and ``w- = [s + m]_+`` (Circle loss, Sun et al., CVPR 2020, eq. 5)."""
    return (1 + margin - similarity).clamp_min(0), (similarity + margin).clamp_min(0)
