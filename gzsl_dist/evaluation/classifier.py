"""Softmax regression over seen and unseen classes, fitted by L-BFGS on all rows at once.

Rows come in blocks that are gone through anew for every evaluation of the objective, so they may
be read from disk: in memory or out of core, it is the same sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gzsl_dist.distributed.processes import Processes
from gzsl_dist.precision import at_least_float32, network_precision

RowBlocks = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Begins anew to yield a process's inputs ``(rows, d)`` and labels ``(rows,)``, block by block."""


@dataclass(frozen=True)
class SoftmaxClassifier:
    """A linear classifier.

    Attributes:
        weight: ``(classes, d)``.
        bias: ``(classes,)``.
    """

    weight: Tensor
    bias: Tensor

    def scores(self, inputs: Tensor) -> Tensor:
        """Log-probabilities, ``(rows, classes)``, of ``(rows, d)``."""
        return torch.log_softmax(at_least_float32(inputs) @ self.weight.T + self.bias, dim=1)


def fit_softmax(
    inputs: Tensor,
    labels: Tensor,
    class_count: int,
    processes: Processes,
    *,
    weight_decay: float,
    iterations: int,
    tolerance: float = 1e-9,
    precision: str = "float32",
) -> SoftmaxClassifier:
    """`fit_softmax_blocks` on rows in memory: ``(rows, d)`` and ``(rows,)`` of this process."""
    inputs = at_least_float32(inputs)
    return fit_softmax_blocks(
        lambda: [(inputs, labels)],
        inputs.new_empty(0, inputs.shape[1]),
        class_count,
        processes,
        weight_decay=weight_decay,
        iterations=iterations,
        tolerance=tolerance,
        precision=precision,
    )


def fit_softmax_blocks(
    blocks: RowBlocks,
    like: Tensor,
    class_count: int,
    processes: Processes,
    *,
    weight_decay: float,
    iterations: int,
    tolerance: float = 1e-9,
    precision: str = "float32",
    class_weights: Tensor | None = None,
) -> SoftmaxClassifier:
    """Minimize the mean cross-entropy plus ``weight_decay / 2 * ||W||^2`` over all rows.

    The problem is convex, so the result does not depend on an order of batches, and processes
    that hold different rows find the same classifier: loss and gradient are summed over them.
    Inputs are divided by their root mean square length, so that one `weight_decay` suits any
    space; the returned weights take that back.

    Args:
        blocks: this process's rows; labels in ``[0, class_count)``.
        like: ``(0, d)`` of the inputs' type (float32 at least) and device.
        class_count: number of classes.
        processes: the job.
        weight_decay: strength of the L2 penalty, of weights but not of biases.
        iterations: of L-BFGS at most.
        tolerance: it ends where an iteration lowers the objective by less.
        precision: of the products with the rows; all else stays in the inputs' type.
        class_weights: ``(class_count,)`` what a row of each class counts, default 1.
    """
    if class_weights is None:
        class_weights = like.new_ones(class_count)
    count, length = count_and_length(blocks, like, class_weights, processes)
    weight = like.new_zeros(class_count, like.shape[1])
    bias = like.new_zeros(class_count)
    optimizer = lbfgs(weight, bias, iterations, tolerance)

    def closure() -> float:
        scaled = weight.T / length
        flat = torch.zeros_like(torch.cat([weight.flatten(), bias, bias[:1]]))
        of_weight = flat[: weight.numel()].view_as(weight)
        of_bias = flat[weight.numel() : -1]
        for inputs, labels in blocks():
            rows = at_least_float32(inputs)
            scores = torch.log_softmax(product(rows, scaled, precision) + bias, dim=1)
            at_label = torch.arange(len(labels), device=labels.device), labels
            counts = class_weights[labels]
            flat[-1] -= scores[at_label] @ counts
            slope = scores.exp_()  # in place: logits of many classes are the largest thing here
            slope[at_label] -= 1
            slope *= counts[:, None]
            of_weight += product(slope.T, rows, precision)
            of_bias += slope.sum(dim=0)
        processes.add(flat)
        weight.grad = of_weight / (count * length) + weight_decay * weight
        bias.grad = of_bias / count
        return float(flat[-1] / count + weight_decay / 2 * weight.square().sum())

    optimizer.step(closure)
    return SoftmaxClassifier(weight / length, bias)


def product(left: Tensor, right: Tensor, precision: str) -> Tensor:
    """``left @ right`` at a precision of `train.precision`, in float32 at least."""
    with network_precision(precision, left.device):
        return at_least_float32(left @ right)


def lbfgs(weight: Tensor, bias: Tensor, iterations: int, tolerance: float) -> torch.optim.LBFGS:
    """The optimizer of all softmax classifiers here."""
    return torch.optim.LBFGS(
        [weight, bias],
        max_iter=iterations,
        history_size=10,
        tolerance_grad=1e-6,
        tolerance_change=tolerance,
        line_search_fn="strong_wolfe",
    )


def count_and_length(
    blocks: RowBlocks, like: Tensor, class_weights: Tensor, processes: Processes
) -> tuple[float, float]:
    """Weight of the rows of all processes and root mean square length of their inputs."""
    totals = like.new_zeros(2, dtype=torch.float64)
    for inputs, labels in blocks():
        counts = class_weights[labels].double()
        totals[0] += counts.sum()
        totals[1] += at_least_float32(inputs).double().square().sum(dim=1) @ counts
    count, squares = processes.add(totals).tolist()
    return count, max((squares / max(count, 1)) ** 0.5, 1e-12)
