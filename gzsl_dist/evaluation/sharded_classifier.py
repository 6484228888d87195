"""Softmax regression for very many classes: every process holds the weights of a share of them.

Logits, gradient and L-BFGS's history (twenty times the weights) are spread over the processes. The
softmax needs of the others' classes just the largest logit and the sum of exponentials of each row
(as in Megatron-LM's vocabulary-parallel cross-entropy, Shoeybi et al., 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gzsl_dist.distributed.processes import Processes
from gzsl_dist.evaluation.classifier import (
    RowBlocks,
    SoftmaxClassifier,
    count_and_length,
    lbfgs,
    product,
)
from gzsl_dist.precision import at_least_float32


def fit_softmax_sharded(
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
    """`gzsl_dist.evaluation.classifier.fit_softmax_blocks` with classes sharded over processes.

    Each process still brings its own rows; those of all are gathered block by block.

    Returns:
        The whole classifier, on every process.
    """
    if class_weights is None:
        class_weights = like.new_ones(class_count)
    count, length = count_and_length(blocks, like, class_weights, processes)
    mine = processes.share(class_count)
    weight = like.new_zeros(mine.stop - mine.start, like.shape[1])
    bias = like.new_zeros(len(weight))
    optimizer = lbfgs(weight, bias, iterations, tolerance)
    over_processes = _OverProcesses(processes)

    def evaluate() -> float:
        scaled = weight.T / length
        of_weight, of_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        loss = like.new_zeros(())
        for rows, labels in _everyones(blocks, like, processes):
            logits = product(rows, scaled, precision) + bias
            losses, slope = sharded_cross_entropy(logits, labels, mine, processes)
            counts = class_weights[labels]
            loss += losses @ counts
            slope *= counts[:, None]
            of_weight += product(slope.T, rows, precision)
            of_bias += slope.sum(dim=0)
        weight.grad = of_weight / (count * length) + weight_decay * weight
        bias.grad = of_bias / count
        penalty = processes.add(weight.square().sum())
        return float(loss / count + weight_decay / 2 * penalty)

    with over_processes:
        optimizer.step(over_processes.outside(evaluate))
    sizes = processes.sizes(class_count)
    return SoftmaxClassifier(
        processes.gather(weight / length, sizes), processes.gather(bias, sizes)
    )


def sharded_cross_entropy(
    logits: Tensor, labels: Tensor, mine: slice, processes: Processes
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each row over the classes of all processes, and its gradient.

    Args:
        logits: ``(rows, classes of this process)``; overwritten.
        labels: ``(rows,)`` among all classes; the same rows on every process.
        mine: this process's classes.
        processes: the job.

    Returns:
        ``(rows,)`` losses, the same on every process, and ``(rows, classes of this process)``, the
        gradient of each by this process's logits.
    """
    rows = logits.shape[0]
    # a process without classes takes part with the lowest number there is
    largest = logits.new_full((rows,), torch.finfo(logits.dtype).min)
    if logits.shape[1]:
        largest = logits.amax(dim=1)
    if processes.world_size > 1:
        dist.all_reduce(largest, dist.ReduceOp.MAX)
    logits -= largest[:, None]
    here = (labels >= mine.start) & (labels < mine.stop)
    at_label = torch.nonzero(here)[:, 0], labels[here] - mine.start
    sums = logits.new_zeros(2, rows)  # of exponentials, and the label's logit
    sums[1, here] = logits[at_label]
    slope = logits.exp_()
    sums[0] = slope.sum(dim=1)
    processes.add(sums)
    slope /= sums[0, :, None]
    slope[at_label] -= 1
    return sums[0].log() - sums[1], slope


def _everyones(
    blocks: RowBlocks, like: Tensor, processes: Processes
) -> Iterator[tuple[Tensor, Tensor]]:
    """The next block of every process, one after another, until no process has more."""
    mine = iter(blocks())
    nothing = like, torch.empty(0, dtype=torch.int64, device=like.device)
    while True:
        inputs, labels = next(mine, nothing)
        own = torch.tensor([len(labels)], device=like.device)
        sizes = processes.gather(own, [1] * processes.world_size).tolist()
        if not any(sizes):
            return
        yield (
            processes.gather(at_least_float32(inputs), sizes),
            processes.gather(labels, sizes),
        )


class _OverProcesses(TorchFunctionMode):
    """Makes an optimizer of flat vectors see those of all processes as one.

    All that `torch.optim.LBFGS` computes from its vectors are dot products, sums and maxima; each
    is completed here by the other processes' parts.
    """

    def __init__(self, processes: Processes) -> None:
        super().__init__()
        self._processes, self._active = processes, True

    def outside(self, action: Callable[[], float]) -> Callable[[], float]:
        """The action, with its own reductions left as they are."""

        def acting() -> float:
            self._active = False
            try:
                return action()
            finally:
                self._active = True

        return acting

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: tuple[Any, ...] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function, and complete its result where it reduces a whole vector."""
        result = function(*arguments, **(keywords or {}))
        if not self._active or self._processes.world_size == 1:
            return result
        if function in (torch.Tensor.dot, torch.Tensor.sum):
            return self._processes.add(result)
        if function is torch.Tensor.max:
            dist.all_reduce(result, dist.ReduceOp.MAX)
        return result
