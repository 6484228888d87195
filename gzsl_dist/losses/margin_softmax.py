"""Margin softmax with prototypes as class weights (CosFace, Wang et al., CVPR 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gzsl_dist.losses.similarities import at_least_float32

if TYPE_CHECKING:
    from torch import Tensor


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

    With ``s_ic = <u_i, p_c>`` (their eq. 4)::

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
