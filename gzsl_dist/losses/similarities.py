"""What the losses make of similarities: their weights, thresholds, blocks and precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Raise half precision to float32; leave float32 and float64 as they are.

    Losses are computed so, whatever precision the networks ran in.
    """
    return values if values.element_size() >= 4 else values.float()


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


def anchor_block(
    embeddings: Tensor, labels: Tensor, anchors: slice | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Similarities of the anchor rows with all rows, and masks of positives and negatives.

    Returns:
        ``(anchors, batch)`` each: similarity, same class and not the row itself, other class.
    """
    import torch

    rows = slice(0, len(labels)) if anchors is None else anchors
    similarity = embeddings[rows] @ embeddings.T
    same = labels[rows, None] == labels[None, :]
    other = ~same
    index = torch.arange(len(labels), device=labels.device)
    itself = index[rows, None] == index[None, :]
    return similarity, same & ~itself, other


def rows_with_positive(labels: Tensor) -> Tensor:
    """Number of rows of the global batch whose class occurs again, at least 1 (a divisor)."""
    from torch.nn.functional import pad

    ordered = labels.sort().values
    again = ordered[1:] == ordered[:-1]  # as the row before, in the order of labels
    repeated = pad(again, (1, 0)) | pad(again, (0, 1))
    return repeated.sum().clamp_min(1)
