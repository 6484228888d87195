"""From trained networks to scored test rows: synthesize, fit the classifier, score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from gzsl_dist.config import Config, EvaluationSettings
from gzsl_dist.data.features import BLOCK_ROWS
from gzsl_dist.data.memory import fits_in_memory
from gzsl_dist.data.problem import Problem, Rows
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.bank_rows import BankRows
from gzsl_dist.evaluation.classifier import RowBlocks, SoftmaxClassifier, fit_softmax_blocks
from gzsl_dist.evaluation.classifier_space import ClassifierSpace, classifier_input
from gzsl_dist.evaluation.closed_form import fit_closed_form, is_too_large
from gzsl_dist.evaluation.metrics import ScoredRows
from gzsl_dist.evaluation.scored import ScoredProblem, score_slices
from gzsl_dist.evaluation.sharded_classifier import fit_softmax_sharded
from gzsl_dist.evaluation.synthetic import SpilledRows, synthetic_rows
from gzsl_dist.models.networks import Networks


def fit_classifier(
    networks: Networks,
    problem: Problem,
    config: Config,
    processes: DistributedContext,
    synthetic: Rows | SpilledRows | BankRows | None = None,
    *,
    class_weights: Tensor | None = None,
    shard_classes: bool = False,
) -> SoftmaxClassifier:
    """Fit the classifier on real rows of seen classes and synthetic rows of unseen ones.

    Args:
        networks: trained networks.
        problem: gives the training rows and all classes.
        config: rows per class, space, penalty.
        processes: the job; each process takes a share of all rows.
        synthetic: this process's rows of unseen classes; those in files are read anew for every
            evaluation of the classifier's objective; default: those of
            `gzsl_dist.evaluation.synthetic.synthetic_rows`.
        class_weights: ``(classes,)`` what a row of each class counts, default 1.
        shard_classes: spread the classifier's weights over the processes.
    """
    settings, space = config.evaluation, ClassifierSpace.configured(config.evaluation)
    if synthetic is None:
        with synthetic_rows(networks, problem, config, processes) as rows:
            return fit_classifier(
                networks,
                problem,
                config,
                processes,
                rows,
                class_weights=class_weights,
                shard_classes=shard_classes,
            )
    mine = processes.shard(len(problem.train))
    real = _real_blocks(networks, problem.train, mine, space)
    made: RowBlocks
    if isinstance(synthetic, SpilledRows):
        made = synthetic.__iter__
    elif isinstance(synthetic, BankRows):
        made = _from_bank(networks, synthetic, space)
    else:
        inputs = classifier_input(networks, synthetic.features[:], space)
        made = _in_memory(inputs, synthetic.labels.to(inputs.device))
    weight = networks.generator.output.weight
    like = classifier_input(networks, weight.new_empty(0, weight.shape[0]), space)
    if class_weights is None:
        class_weights = torch.ones(len(problem.classes))
    fit: Callable[..., SoftmaxClassifier]
    fit = fit_softmax_sharded if shard_classes else fit_softmax_blocks
    if is_too_large(problem, settings):
        fit = fit_closed_form
    classifier = fit(
        lambda: chain(real(), made()),
        like,
        len(problem.classes),
        processes,
        weight_decay=settings.weight_decay,
        temperature=settings.temperature if settings.classifier == "cosine" else None,
        adjustment=settings.logit_adjustment,
        iterations=settings.iterations,
        tolerance=settings.tolerance,
        precision=config.train.precision,
        class_weights=class_weights.to(like),
    )
    warning = classifier.warning()
    if warning is not None and processes.shows_progress:
        print(warning, flush=True)
    return classifier


def score_problem(
    networks: Networks,
    classifier: SoftmaxClassifier,
    problem: Problem,
    settings: EvaluationSettings,
    processes: DistributedContext,
) -> ScoredProblem:
    """Score the test rows of a problem; each process takes a share of them."""
    space = ClassifierSpace.configured(settings)

    def scored(rows: Rows) -> ScoredRows:
        return _score_rows(networks, classifier, rows, problem.seen_count, space, processes)

    return ScoredProblem(seen=scored(problem.seen), unseen=scored(problem.unseen))


def _in_memory(inputs: Tensor, labels: Tensor) -> RowBlocks:
    return lambda: zip(inputs.split(BLOCK_ROWS), labels.split(BLOCK_ROWS), strict=True)


def _real_blocks(networks: Networks, rows: Rows, mine: slice, space: ClassifierSpace) -> RowBlocks:
    """This process's real rows; read and embedded anew for every pass if they are too many."""
    device = networks.generator.output.weight.device
    parts = list(_slices(mine))

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        for part in parts:
            inputs = classifier_input(networks, rows.features[part], space)
            yield inputs, rows.labels[part].to(device)

    if not fits_in_memory((mine.stop - mine.start) * space.row_bytes(networks), device):
        return blocks
    kept = list(blocks())
    return lambda: kept


def _slices(rows: slice) -> Iterator[slice]:
    for first in range(rows.start, rows.stop, BLOCK_ROWS):
        yield slice(first, min(first + BLOCK_ROWS, rows.stop))


def _from_bank(networks: Networks, bank: BankRows, space: ClassifierSpace) -> RowBlocks:
    weight = networks.generator.output.weight

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        for rows in bank:
            inputs = rows.features[:]
            if bank.embedded:
                inputs = space.of_embedded(inputs.to(weight))
            else:
                inputs = classifier_input(networks, inputs, space)
            yield inputs, rows.labels.to(weight.device)

    return blocks


def _score_rows(
    networks: Networks,
    classifier: SoftmaxClassifier,
    rows: Rows,
    seen_count: int,
    space: ClassifierSpace,
    processes: DistributedContext,
) -> ScoredRows:
    """Scores of all classes are kept for one block at a time, and only what metrics need after."""
    own = ScoredRows.joined(
        ScoredRows.from_scores(
            classifier.scores(classifier_input(networks, rows.features[part], space)).cpu().numpy(),
            rows.labels[part],
            seen_count,
        )
        for part in score_slices(processes.shard(len(rows)), len(classifier.weight))
    )
    sizes = processes.shard_sizes(len(rows))

    def whole(part: NDArray[Any]) -> NDArray[Any]:
        if not len(rows):  # of no process
            return part
        gathered = processes.gather(torch.from_numpy(part).to(processes.device), sizes)
        return gathered.cpu().numpy()

    return ScoredRows(
        labels=rows.labels.numpy(),
        best_seen=whole(own.best_seen),
        best_unseen=whole(own.best_unseen),
        lead=whole(own.lead),
    )
