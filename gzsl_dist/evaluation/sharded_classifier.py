"""Softmax regression for very many classes: every process holds the weights of a share of them.

Logits, gradient and L-BFGS's history (twenty times the weights) are spread over the processes. The
softmax needs of the others' classes just the largest logit and the sum of exponentials of each row
(as in Megatron-LM's vocabulary-parallel cross-entropy, Shoeybi et al., 2019).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor

from gzsl_dist.data.features import BLOCK_ROWS
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.classifier import (
    RowBlocks,
    SoftmaxClassifier,
    add_rows,
    adjustments,
    count_and_length,
    cut,
    dot,
    form_of,
    product,
)
from gzsl_dist.evaluation.lbfgs import minimize
from gzsl_dist.evaluation.time_left import with_time_left
from gzsl_dist.models.precision import at_least_float32


def fit_softmax_sharded(
    blocks: RowBlocks,
    like: Tensor,
    class_count: int,
    processes: DistributedContext,
    *,
    weight_decay: float,
    iterations: int,
    tolerance: float = 1e-9,
    precision: str = "float32",
    class_weights: Tensor | None = None,
    temperature: float | None = None,
    adjustment: float = 0.0,
) -> SoftmaxClassifier:
    """`gzsl_dist.evaluation.classifier.fit_softmax_blocks` with classes sharded over processes.

    Each process still brings its own rows; those of all are gathered block by block, of a size
    that does not grow with the number of processes. A process may have no class at all, and all
    get the whole classifier.
    """
    if class_weights is None:
        class_weights = like.new_ones(class_count)
    count, length = count_and_length(blocks, like, class_weights, processes)
    form = form_of(temperature, weight_decay, class_count)
    mine = processes.shard(class_count)
    classes, width = mine.stop - mine.start, like.shape[1]
    size = classes * width
    sums, counts = like.new_zeros(classes, width), like.new_zeros(classes)
    if temperature is not None or adjustment:
        for rows, labels in _gathered(blocks, like, class_count, processes):
            here = (labels >= mine.start) & (labels < mine.stop)
            add_rows(sums, counts, rows[here], labels[here] - mine.start)
    whole_counts = processes.broadcast_from_rank0(
        processes.gather(counts, processes.shard_sizes(class_count))
    )
    shift = adjustments(whole_counts, class_weights, adjustment)[mine]
    start = torch.cat([part.flatten() for part in form.start(sums, counts)])
    del sums

    def inner(one: Tensor, other: Tensor) -> float:
        return float(processes.broadcast_from_rank0(processes.all_reduce_sum(dot(one, other))))

    def function(parameters: Tensor) -> tuple[float, Tensor]:
        matrix, bias = parameters[:size].view(classes, width), parameters[size:]
        scaled = form.weight(matrix, length).T
        gradient = torch.zeros_like(parameters)
        of_weight, of_bias = gradient[:size].view_as(matrix), gradient[size:]
        loss = like.new_zeros((), dtype=torch.float64)
        for rows, labels in _gathered(blocks, like, class_count, processes):
            logits = product(rows, scaled, precision) + (bias + shift)
            losses, slope = sharded_cross_entropy(logits, labels, mine, processes)
            counts = class_weights[labels]
            loss += (losses * counts).sum(dtype=torch.float64)
            slope *= counts[:, None]
            of_weight += product(slope.T, rows, precision)
            of_bias += slope.sum(dim=0)
        gradient /= count
        form.gradient(matrix, of_weight, of_bias, length)
        squares = inner(parameters[:size], parameters[:size]) if form.penalty else 0.0
        return float(
            processes.broadcast_from_rank0(loss / count)
        ) + form.penalty / 2 * squares, gradient

    parameters, fit = minimize(
        with_time_left(function, iterations, processes),
        start,
        inner,
        iterations=iterations,
        tolerance=tolerance,
    )
    sizes = processes.shard_sizes(class_count)
    return SoftmaxClassifier(
        processes.gather(form.weight(parameters[:size].view(classes, width), length), sizes),
        processes.gather(parameters[size:], sizes),
        fit,
    )


def sharded_cross_entropy(
    logits: Tensor, labels: Tensor, mine: slice, processes: DistributedContext
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each row over the classes of all processes, and its gradient.

    Of ``(rows, classes of this process)`` logits, which are overwritten, and ``(rows,)`` labels
    among all classes, the same on every process.

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
    processes.all_reduce_sum(sums)
    slope /= sums[0, :, None]
    slope[at_label] -= 1
    return sums[0].log() - sums[1], slope


def _gathered(
    blocks: RowBlocks, like: Tensor, class_count: int, processes: DistributedContext
) -> Iterator[tuple[Tensor, Tensor]]:
    """The next rows of every process, one after another, until no process has more.

    A process's part shrinks with their number, so that what is gathered does not grow with it.
    """
    most = max(1, BLOCK_ROWS // processes.world_size)
    mine = cut(blocks, -(-class_count // processes.world_size), most)
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
