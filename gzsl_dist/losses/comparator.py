"""Class-level contrastive loss of CE-GZSL (Han et al., CVPR 2021, eq. 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from gzsl_dist.losses.registry import EmbeddingLoss, Positive
from gzsl_dist.losses.similarities import at_least_float32

if TYPE_CHECKING:
    from torch import Tensor


class ComparatorLoss(EmbeddingLoss):
    """Class-level comparator loss of CE-GZSL."""

    name = "comparator"
    compares = "classes"
    flat = True  # loss.comparator_temperature is its name since the first version

    temperature: Positive = Field(0.1, description="Temperature of the comparator.")

    def __call__(self, scores: Tensor, labels: Tensor, *, total: int) -> Tensor:
        """The part of some rows."""
        return comparator_loss(scores, labels, temperature=self.temperature, total=total)


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
    from torch.nn.functional import cross_entropy

    logits = at_least_float32(scores) / temperature
    return cross_entropy(logits, labels, reduction="sum") / total
