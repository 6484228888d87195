"""The classifier's fit on rows in memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.classifier import SoftmaxClassifier, fit_softmax_blocks
from gzsl_dist.models.precision import at_least_float32


def fit_softmax(
    inputs: Tensor, labels: Tensor, class_count: int, processes: DistributedContext, **settings: Any
) -> SoftmaxClassifier:
    """`fit_softmax_blocks` of ``(rows, d)`` and ``(rows,)`` of this process."""
    inputs = at_least_float32(inputs)
    like = inputs.new_empty(0, inputs.shape[1])
    return fit_softmax_blocks(lambda: [(inputs, labels)], like, class_count, processes, **settings)
