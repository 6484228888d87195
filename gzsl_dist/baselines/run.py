"""Baselines in the harness of a run: their penalties come from validation classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gzsl_dist.baselines.candidate import UNCHOSEN, Candidate
from gzsl_dist.baselines.nearest_prototype import LINEAR, nearest_prototype
from gzsl_dist.baselines.ridge import ridge
from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.problem import Problem, Rows, selection_problem
from gzsl_dist.evaluation.metrics import ScoredRows
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.evaluation.selection import (
    PREFIX,
    Selection,
    fixed,
    needs_validation,
    validation_figures,
)


def choose_penalties(dataset: Dataset, config: Config, path: Path) -> Selection:
    """Try all penalties on the validation classes; `train.steps` and such mean nothing here.

    Where the configuration asks for no validation, penalties are `UNCHOSEN`, and nothing is
    written.

    Args:
        dataset: the data.
        config: its method is a baseline.
        path: where the choice is written, or read if it was made before.

    Raises:
        InputError: the data set has too few classes or samples for validation classes.
    """
    if not needs_validation(config.evaluation):
        chosen = fixed(0, config.evaluation, dataset.fingerprint)
        return replace(chosen, settings=UNCHOSEN[config.method])
    if path.exists():
        return Selection.read(path, dataset.fingerprint)
    problems = [selection_problem(dataset, config, f) for f in range(config.evaluation.folds)]
    criterion = PREFIX + config.evaluation.criterion
    tried = []
    for fitted in zip(*(_candidates(config.method, one) for one in problems), strict=True):
        scored = [score_rows(one, of) for one, of in zip(fitted, problems, strict=True)]
        tried.append((validation_figures(scored, config.evaluation), fitted[0].settings))
    figures, settings = max(tried, key=lambda pair: pair[0][criterion])
    selection = Selection(
        steps=0,
        calibration_factor=config.evaluation.factor(figures[PREFIX + "calibration_factor"]),
        how=f"{' and '.join(one.note for one in problems)}; best of {len(tried)} settings",
        fingerprint=dataset.fingerprint,
        validation={name.removeprefix(PREFIX): value for name, value in figures.items()},
        settings=settings,
    )
    selection.write(path)
    return selection


def fit_baseline(problem: Problem, method: str, settings: dict[str, float]) -> Candidate:
    """Fit with the penalties that were chosen."""
    (fitted,) = _candidates(method, problem, settings)
    return fitted


def score_rows(candidate: Candidate, problem: Problem) -> ScoredProblem:
    """Score the rows that a problem is measured on."""

    def scored(rows: Rows) -> ScoredRows:
        scores = candidate.score(rows.features[:])
        return ScoredRows.from_scores(scores.numpy(), rows.labels.numpy(), problem.seen_count)

    return ScoredProblem(seen=scored(problem.seen), unseen=scored(problem.unseen))


def _candidates(
    method: str, problem: Problem, only: dict[str, float] | None = None
) -> Iterator[Candidate]:
    if only is None:
        return ridge(problem) if method == "ridge" else nearest_prototype(problem)
    penalty = [only["semantic_penalty"]]
    if method == "ridge":
        return ridge(problem, [only["feature_penalty"]], penalty)
    return nearest_prototype(problem, [only.get("kernel_width", LINEAR)], penalty)
