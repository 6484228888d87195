"""Softmax regression over seen and unseen classes, fitted by L-BFGS on all rows at once.

Rows come in blocks that are gone through anew for every evaluation of the objective, so they may
be read from disk: in memory or out of core, it is the same sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.classifier_form import Cosine, Form, Linear
from gzsl_dist.evaluation.lbfgs import FitSummary, minimize
from gzsl_dist.evaluation.scored import SCORES
from gzsl_dist.evaluation.time_left import with_time_left
from gzsl_dist.models.precision import at_least_float32, network_precision

RowBlocks = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Begins anew to yield a process's inputs ``(rows, d)`` and labels ``(rows,)``, block by block."""

REFERENCE_CLASSES = 200
"""Number of classes at which `weight_decay` is the penalty itself (CUB's)."""

LOGITS = 1 << 24
"""Logits held at once on a GPU (on a CPU `SCORES`): many classes must not need much memory."""

DOT_PART = 1 << 20


@dataclass(frozen=True)
class SoftmaxClassifier:
    """A linear classifier, ``(classes, d)`` and ``(classes,)``, and how its fit ended."""

    weight: Tensor
    bias: Tensor
    fit: FitSummary | None = None

    def scores(self, inputs: Tensor) -> Tensor:
        """Log-probabilities, ``(rows, classes)``, of ``(rows, d)``."""
        return torch.log_softmax(at_least_float32(inputs) @ self.weight.T + self.bias, dim=1)

    def warning(self) -> str | None:
        """One line for the user where there was no fit, or it did not converge."""
        if self.fit is None or self.fit.ended == "converged":
            return None
        if self.fit.ended == "closed form":
            return (
                f"{len(self.weight)} classes: the classifier is in closed form; a larger "
                "--evaluation.fit-logits has it fitted"
            )
        remedy = (
            "give more --evaluation.iterations"
            if self.fit.ended == "iterations"
            else "give a larger --evaluation.tolerance, or --train.precision float64"
        )
        return (
            f"warning: the classifier's fit ended by its {self.fit.ended} after "
            f"{self.fit.iterations}, gradient {self.fit.relative_gradient:.1e} of the first; "
            f"{remedy}"
        )


def fit_softmax_blocks(
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
    """Minimize the mean cross-entropy plus ``penalty / 2 * ||W||^2`` over all rows.

    The penalty is `weight_decay` times `REFERENCE_CLASSES` over the number of classes: a class's
    share of the mean shrinks with their number, so its penalty must too, or many classes would be
    held at zero.

    The linear problem is convex, so the result does not depend on an order of batches, and
    processes that hold different rows find the same classifier: loss and gradient are summed over
    them, and the first process decides. Inputs are divided by their root mean square length, so
    that one `weight_decay` suits any space; the returned weights take that back.

    Args:
        blocks: this process's rows; labels in ``[0, class_count)``.
        like: ``(0, d)`` of the inputs' type (float32 at least) and device.
        class_count: number of classes.
        processes: the job.
        weight_decay: strength of the L2 penalty, of weights but not of biases.
        iterations: of L-BFGS at most.
        tolerance: it ends where an iteration lowers the objective by a smaller part of its value.
        precision: of the products with the rows; all else stays in the inputs' type.
        class_weights: ``(class_count,)`` what a row of each class counts, default 1.
        temperature: of the softmax over cosines (`gzsl_dist.evaluation.classifier_form.Cosine`,
            without a penalty), for rows of one length; None: a linear function of the rows.
        adjustment: strength t of logit adjustment: t times the log of a class's share of the rows
            is added to its logits in the fit alone (Menon et al., ICLR 2021; between real and
            synthetic rows, and within each: Chen et al., IJCAI 2022).

    Returns:
        The classifier, the same on every process.
    """
    if class_weights is None:
        class_weights = like.new_ones(class_count)
    count, length = count_and_length(blocks, like, class_weights, processes)
    form = form_of(temperature, weight_decay, class_count)
    size = class_count * like.shape[1]
    sums, counts = like.new_zeros(class_count, like.shape[1]), like.new_zeros(class_count)
    if temperature is not None or adjustment:
        for inputs, labels in blocks():
            add_rows(sums, counts, inputs, labels)
        processes.broadcast_from_rank0(processes.all_reduce_sum(sums))
        processes.broadcast_from_rank0(processes.all_reduce_sum(counts))
    shift = adjustments(counts, class_weights, adjustment)
    start = torch.cat([part.flatten() for part in form.start(sums, counts)])
    del sums

    def function(parameters: Tensor) -> tuple[float, Tensor]:
        matrix, bias = parameters[:size].view(class_count, -1), parameters[size:]
        scaled = form.weight(matrix, length).T
        gradient = torch.zeros_like(parameters)
        of_weight, of_bias = gradient[:size].view_as(matrix), gradient[size:]
        loss = like.new_zeros((), dtype=torch.float64)
        for inputs, labels in cut(blocks, class_count):
            rows = at_least_float32(inputs)
            scores = torch.log_softmax(product(rows, scaled, precision) + (bias + shift), dim=1)
            at_label = torch.arange(len(labels), device=labels.device), labels
            counts = class_weights[labels]
            loss -= (scores[at_label] * counts).sum(dtype=torch.float64)
            slope = scores.exp_()  # in place: logits of many classes are the largest thing here
            slope[at_label] -= 1
            slope *= counts[:, None]
            of_weight += product(slope.T, rows, precision)
            of_bias += slope.sum(dim=0)
        processes.all_reduce_sum(gradient)
        processes.all_reduce_sum(loss)
        gradient /= count
        form.gradient(matrix, of_weight, of_bias, length)
        value = loss / count + form.penalty / 2 * dot(matrix.flatten(), matrix.flatten())
        return float(processes.broadcast_from_rank0(value)), gradient

    parameters, fit = minimize(
        with_time_left(function, iterations, processes),
        start,
        lambda one, other: float(processes.broadcast_from_rank0(dot(one, other))),
        iterations=iterations,
        tolerance=tolerance,
    )
    matrix, bias = parameters[:size].view(class_count, -1), parameters[size:]
    weight = processes.broadcast_from_rank0(form.weight(matrix, length))
    # elementwise sums, too, may round differently
    return SoftmaxClassifier(weight, processes.broadcast_from_rank0(bias.contiguous()), fit)


def form_of(temperature: float | None, weight_decay: float, class_count: int) -> Form:
    """Cosines at a temperature, or a linear function with a penalty."""
    if temperature is not None:
        return Cosine(temperature)
    return Linear(penalty_of(weight_decay, class_count))


def add_rows(sums: Tensor, counts: Tensor, inputs: Tensor, labels: Tensor) -> None:
    """Add rows to each class's sum ``(classes, d)`` and number ``(classes,)``, in place."""
    sums.index_add_(0, labels, at_least_float32(inputs).to(sums))
    counts.index_add_(0, labels, torch.ones_like(labels, dtype=counts.dtype))


def adjustments(counts: Tensor, class_weights: Tensor, strength: float) -> Tensor:
    """What is added to the logits of each class in the fit, ``(classes,)``; zero at strength 0."""
    if not strength:
        return torch.zeros_like(counts)
    shares = counts * class_weights
    return strength * (shares / shares.sum()).clamp_min(1e-12).log()


def penalty_of(weight_decay: float, class_count: int) -> float:
    """Weight of ``||W||^2 / 2`` beside a mean over rows, the same for a class at any number."""
    return weight_decay * REFERENCE_CLASSES / class_count


def cut(
    blocks: RowBlocks, class_count: int, rows: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The blocks, cut so that logits of all classes, and rows where given, stay within bounds."""
    for inputs, labels in blocks():
        logits = SCORES if inputs.device.type == "cpu" else LOGITS
        most = max(1, min(logits // max(class_count, 1), rows or logits))
        yield from zip(inputs.split(most), labels.split(most), strict=True)


def dot(one: Tensor, other: Tensor) -> Tensor:
    """Inner product of two vectors, summed in float64 part by part."""
    parts = zip(one.split(DOT_PART), other.split(DOT_PART), strict=True)
    total = one.new_zeros((), dtype=torch.float64)
    for left, right in parts:
        total += left @ right
    return total


def product(left: Tensor, right: Tensor, precision: str) -> Tensor:
    """``left @ right`` at a precision of `train.precision`, in float32 at least."""
    with network_precision(precision, left.device):
        return at_least_float32(left @ right)


def count_and_length(
    blocks: RowBlocks, like: Tensor, class_weights: Tensor, processes: DistributedContext
) -> tuple[float, float]:
    """Weight of the rows of all processes and root mean square length of their inputs."""
    totals = like.new_zeros(2, dtype=torch.float64)
    for inputs, labels in blocks():
        counts = class_weights[labels].double()
        totals[0] += counts.sum()
        totals[1] += at_least_float32(inputs).double().square().sum(dim=1) @ counts
    count, squares = processes.broadcast_from_rank0(processes.all_reduce_sum(totals)).tolist()
    return max(count, 1e-300), max((squares / max(count, 1e-300)) ** 0.5, 1e-12)
