"""Softmax regression over seen and unseen classes, fitted by L-BFGS on all rows at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gzsl_dist.distributed.processes import Processes
from gzsl_dist.precision import at_least_float32


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
) -> SoftmaxClassifier:
    """Minimize the mean cross-entropy plus ``weight_decay / 2 * ||W||^2`` over all rows.

    The problem is convex, so the result does not depend on an order of batches, and processes
    that hold different rows find the same classifier: loss and gradient are summed over them.
    Inputs are divided by their root mean square length, so that one `weight_decay` suits any
    space; the returned weights take that back.

    Args:
        inputs: ``(rows, d)`` this process's rows.
        labels: ``(rows,)`` in ``[0, class_count)``.
        class_count: number of classes.
        processes: the job.
        weight_decay: strength of the L2 penalty, of weights but not of biases.
        iterations: of L-BFGS at most.
    """
    inputs = at_least_float32(inputs)
    squares = inputs.double().square().sum()
    count, squares = processes.add(torch.stack([squares.new_tensor(len(labels)), squares])).tolist()
    length = max((squares / count) ** 0.5, 1e-12)
    inputs = inputs / length
    weight = inputs.new_zeros(class_count, inputs.shape[1], requires_grad=True)
    bias = inputs.new_zeros(class_count, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=iterations,
        history_size=10,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        optimizer.zero_grad()
        loss = cross_entropy(inputs @ weight.T + bias, labels, reduction="sum") / count
        loss.backward()
        assert weight.grad is not None
        assert bias.grad is not None
        flat = torch.cat([weight.grad.flatten(), bias.grad, loss.detach()[None]])
        processes.add(flat)
        weight.grad = (flat[: weight.numel()]).view_as(weight) + weight_decay * weight.detach()
        bias.grad = flat[weight.numel() : -1].clone()
        return float(flat[-1] + weight_decay / 2 * weight.detach().square().sum())

    optimizer.step(closure)
    return SoftmaxClassifier(weight.detach() / length, bias.detach())
