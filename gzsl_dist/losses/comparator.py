"""Class-level contrastive loss of CE-GZSL (Han et al., CVPR 2021, eq. 6)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from gzsl_dist.models.precision import at_least_float32


def comparator_loss(scores: Tensor, labels: Tensor, *, temperature: float, total: int) -> Tensor:
    """Softmax over the relevance of a row to the semantics of every seen class.

    ::

        mean_i -log( exp(F(h_i, a_{y_i}) / t) / sum_{c seen} exp(F(h_i, a_c) / t) )

    Args:
        scores: ``(rows, classes)`` comparator scores F(h_i, a_c).
        labels: ``(rows,)`` class of each row, in ``[0, classes)``.
        temperature: t, above 0 (CE-GZSL: 0.1).
        total: rows of the global batch. With fewer rows than that, the result is this share's
            part; the parts of all shares add up to the loss.
    """
    logits = at_least_float32(scores) / temperature
    return cross_entropy(logits, labels, reduction="sum") / total
