"""The classifier of very many classes: no fit, one pass over the rows.

A pass of L-BFGS costs rows x classes x width, and a fit has tens of them: hours at 20,000 classes.
Where that is too much, softmax regression gives way to the classifier whose posterior it is when
rows of a class are normal with one common covariance (linear discriminant analysis: Hastie et al.,
The Elements of Statistical Learning, 2009, section 4.3), and cosines to the class means that they
start from. One pass costs rows x width^2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gzsl_dist.config import EvaluationSettings
from gzsl_dist.data.problem import Problem
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.classifier import RowBlocks, SoftmaxClassifier, product
from gzsl_dist.evaluation.classifier_form import Cosine
from gzsl_dist.evaluation.lbfgs import FitSummary
from gzsl_dist.models.precision import at_least_float32

SHRINKAGE = 0.01
"""Share of the mean variance in the covariance: it can be inverted where rows are few."""

LOWEST = -1e4  # bias of a class without rows


def is_too_large(problem: Problem, settings: EvaluationSettings) -> bool:
    """Whether a fit may need more than `evaluation.fit_logits`.

    Counted for the final training also in selection, whose calibration factor must fit it, and
    with `rows_per_class` where a bank has more.
    """
    rows, seen, unseen = problem.final_size
    rows += unseen * settings.rows_per_class
    return settings.iterations * rows * (seen + unseen) > settings.fit_logits


def fit_closed_form(
    blocks: RowBlocks,
    like: Tensor,
    class_count: int,
    processes: DistributedContext,
    *,
    class_weights: Tensor,
    temperature: float | None,
    adjustment: float,
    precision: str,
    **of_a_fit: float,
) -> SoftmaxClassifier:
    """Linear discriminant, or class means where there is a temperature.

    Arguments are those of `gzsl_dist.evaluation.classifier.fit_softmax_blocks`; those that only a
    fit has are unused. Sums are in float64 and over all processes, so the classifier does not
    depend on their number.
    """
    width = like.shape[1]
    sums = like.new_zeros(class_count, width, dtype=torch.float64)
    counts, length = sums.new_zeros(class_count), sums.new_zeros(())
    products = sums.new_zeros(width, width)
    for inputs, labels in blocks():
        rows = at_least_float32(inputs)
        sums.index_add_(0, labels, rows.double())
        counts += labels.bincount(minlength=class_count)
        if temperature is None:
            products += product(rows.T, class_weights[labels, None] * rows, precision)
        else:
            length += rows.double().square().sum()
    for part in (sums, counts, products, length):
        processes.broadcast_from_rank0(processes.all_reduce_sum(part))
    if temperature is None:
        weight, bias = discriminant(sums, counts, products, class_weights.double(), adjustment)
    else:
        form = Cosine(temperature)
        matrix, bias = form.start(sums, counts)
        weight = form.weight(matrix, float(length / counts.sum()) ** 0.5)
    weight, bias = (processes.broadcast_from_rank0(part.to(like)) for part in (weight, bias))
    return SoftmaxClassifier(weight, bias, FitSummary(0, 1, 0.0, "closed form"))


def discriminant(
    sums: Tensor, counts: Tensor, products: Tensor, class_weights: Tensor, adjustment: float
) -> tuple[Tensor, Tensor]:
    """``w_c = P (m_c - m)``, ``b_c = log share_c - (m_c - m) P (m_c + m) / 2``, P = covariance^-1.

    Args:
        sums: ``(classes, d)`` of each class's rows.
        counts: ``(classes,)`` how many there are.
        products: ``(d, d)`` of rows with themselves, each as often as it counts.
        class_weights: ``(classes,)`` what a row of each class counts.
        adjustment: the share of ``log share_c`` that is left out, as logit adjustment does.
    """
    shares = counts * class_weights
    total, shares = shares.sum(), shares / shares.sum()
    center = (sums * class_weights[:, None]).sum(dim=0) / total
    means = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None] - center, 0)
    within = products / total - torch.outer(center, center) - (means.T * shares) @ means
    # of rows that are all alike, rounding alone is left
    variance = torch.maximum(within.diagonal().mean(), 1e-6 * products.diagonal().mean() / total)
    within.diagonal().add_(SHRINKAGE * variance.clamp_min(1e-12))
    weight = torch.cholesky_solve(means.T, torch.linalg.cholesky(within)).T
    bias = (1 - adjustment) * shares.clamp_min(1e-12).log() - (weight * (means / 2 + center)).sum(
        dim=1
    )
    return weight, torch.where(counts > 0, bias, LOWEST)
