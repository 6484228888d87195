"""From trained networks to scored test rows: synthesize, fit the classifier, score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gzsl_dist.bank.generate import synthesize_class
from gzsl_dist.config import Config
from gzsl_dist.data.problem import Problem, Rows
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.evaluation.bank_rows import BankRows
from gzsl_dist.evaluation.classifier import RowBlocks, SoftmaxClassifier, fit_softmax_blocks
from gzsl_dist.evaluation.metrics import ScoredRows
from gzsl_dist.evaluation.sharded_classifier import fit_softmax_sharded
from gzsl_dist.models.networks import Networks
from gzsl_dist.precision import at_least_float32


@dataclass(frozen=True)
class ScoredProblem:
    """A problem's test rows, scored."""

    seen: ScoredRows
    unseen: ScoredRows


@torch.no_grad()
def classifier_input(networks: Networks, features: Tensor, space: str) -> Tensor:
    """Features ``(rows, d_x)`` in the classifier's space: ``h``, ``u`` or ``x`` itself."""
    weight = networks.generator.output.weight
    features = features.to(weight)
    if space == "x" or networks.embedding is None:
        return features
    parts = [networks.embedding(part)[space == "u"] for part in features.split(4096)]
    return torch.cat(parts)


def synthetic_rows(
    networks: Networks, problem: Problem, config: Config, processes: Processes
) -> Rows:
    """This process's share of the synthetic rows of all unseen classes."""
    unseen = range(problem.seen_count, len(problem.classes))
    share = list(unseen)[processes.share(len(unseen))]
    count = config.evaluation.rows_per_class
    parts = [
        synthesize_class(
            networks.generator,
            problem.semantics[number],
            number=int(problem.classes[number]),
            rows=slice(0, count),
            seed=config.train.seed,
        )
        for number in share
    ]
    weight = networks.generator.output.weight
    features = torch.cat(parts) if parts else weight.new_empty(0, problem.feature_dim)
    labels = torch.tensor(share, dtype=torch.int64).repeat_interleave(count)
    return Rows(features, labels.to(weight.device))


def score_problem(
    networks: Networks,
    problem: Problem,
    config: Config,
    processes: Processes,
    synthetic: Rows | BankRows | None = None,
    *,
    class_weights: Tensor | None = None,
    shard_classes: bool = False,
) -> ScoredProblem:
    """Fit the classifier on real seen and synthetic unseen rows, and score the test rows.

    Args:
        networks: trained networks.
        problem: what is measured.
        config: rows per class, space, penalty.
        processes: the job; each process takes a share of all rows.
        synthetic: this process's rows of unseen classes; `BankRows` are read anew for every
            evaluation of the classifier's objective; default `synthetic_rows`.
        class_weights: ``(classes,)`` what a row of each class counts, default 1.
        shard_classes: spread the classifier's weights over the processes.
    """
    settings, space = config.evaluation, config.evaluation.space or "x"
    if synthetic is None:
        synthetic = synthetic_rows(networks, problem, config, processes)
    device = networks.generator.output.weight.device
    mine = processes.share(len(problem.train))
    real = classifier_input(networks, problem.train.features[mine], space)
    real_labels = problem.train.labels[mine].to(device)
    if isinstance(synthetic, BankRows):
        blocks = _from_bank(networks, real, real_labels, synthetic, space)
    else:
        inputs = torch.cat([real, classifier_input(networks, synthetic.features, space)])
        labels = torch.cat([real_labels, synthetic.labels.to(device)])
        blocks = _in_memory(at_least_float32(inputs), labels)
    fit = fit_softmax_sharded if shard_classes else fit_softmax_blocks
    classifier = fit(
        blocks,
        at_least_float32(real[:0]),
        len(problem.classes),
        processes,
        weight_decay=settings.weight_decay,
        iterations=settings.iterations,
        class_weights=None if class_weights is None else class_weights.to(real),
    )

    def scored(rows: Rows) -> ScoredRows:
        return _score_rows(networks, classifier, rows, problem.seen_count, space, processes)

    return ScoredProblem(seen=scored(problem.seen), unseen=scored(problem.unseen))


def _in_memory(inputs: Tensor, labels: Tensor) -> RowBlocks:
    return lambda: [(inputs, labels)]


def _from_bank(
    networks: Networks, real: Tensor, real_labels: Tensor, bank: BankRows, space: str
) -> RowBlocks:
    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        size = bank.reader.info.block_rows
        yield from zip(real.split(size), real_labels.split(size), strict=True)
        for rows in bank:
            if bank.embedded:
                inputs = rows.features.to(real)
            else:
                inputs = classifier_input(networks, rows.features, space)
            yield inputs, rows.labels.to(real_labels.device)

    return blocks


def _score_rows(
    networks: Networks,
    classifier: SoftmaxClassifier,
    rows: Rows,
    seen_count: int,
    space: str,
    processes: Processes,
) -> ScoredRows:
    mine = processes.share(len(rows))
    scores = classifier.scores(classifier_input(networks, rows.features[mine], space))
    everyone = processes.gather(scores, processes.sizes(len(rows)))
    return ScoredRows.from_scores(everyone.cpu().numpy(), rows.labels.numpy(), seen_count)
