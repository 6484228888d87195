"""Baselines in the harness of a run: their penalties come from validation classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gzsl_dist.baselines.candidate import UNCHOSEN, Candidate
from gzsl_dist.baselines.clip import check_clip, clip
from gzsl_dist.baselines.nearest_prototype import LINEAR, nearest_prototype
from gzsl_dist.baselines.ridge import ridge
from gzsl_dist.config import Config
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.problem import Problem, Rows, selection_problem
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.metrics import ScoredRows, measure
from gzsl_dist.evaluation.scored import ScoredProblem, score_slices
from gzsl_dist.evaluation.selection import PREFIX, fixed, needs_validation, validation_figures
from gzsl_dist.run.result import FIGURES
from gzsl_dist.run.selection import Selection

MOST_CLASSES = 1000
"""Of a baseline that is measured beside every run: more take longer than seconds."""


def choose_penalties(dataset: Dataset, config: Config, path: Path | None) -> Selection:
    """Try all penalties on the validation classes; `train.steps` and such mean nothing here.

    Where the configuration asks for no validation, penalties are `UNCHOSEN`, and nothing is
    written.

    Args:
        dataset: the data.
        config: its method is a baseline.
        path: where the choice is written, or read if it was made before; None: neither.

    Raises:
        InputError: the data set has too few classes or samples for validation classes, or is none
            for this method.
    """
    if config.method == "clip":
        check_clip(dataset)
    if not needs_validation(config.evaluation):
        chosen = fixed(0, config.evaluation, dataset.fingerprint)
        return replace(chosen, settings=UNCHOSEN[config.method])
    if path is not None and path.exists():
        return Selection.read(path, dataset.fingerprint)
    notes, by_fold = [], []
    for fold in range(config.evaluation.folds):  # one fold's rows in memory at a time
        problem = selection_problem(dataset, config, fold)
        notes.append(problem.note)
        by_fold.append(
            [
                (one.settings, score_rows(one, problem))
                for one in _candidates(config.method, problem)
            ]
        )
    criterion = PREFIX + config.evaluation.criterion
    tried = [
        (validation_figures([scored for _, scored in trial], config.evaluation), trial[0][0])
        for trial in zip(*by_fold, strict=True)
    ]
    figures, settings = max(tried, key=lambda pair: pair[0][criterion])
    selection = Selection(
        steps=0,
        calibration_factor=config.evaluation.factor(figures[PREFIX + "calibration_factor"]),
        how=f"{' and '.join(notes)}; best of {len(tried)} settings",
        fingerprint=dataset.fingerprint,
        validation={name.removeprefix(PREFIX): value for name, value in figures.items()},
        settings=settings,
    )
    if path is not None:
        selection.write(path)
    return selection


def measured_baseline(dataset: Dataset, problem: Problem, config: Config) -> dict[str, Any] | None:
    """``method``, U, S, H, T1 and AUSUC of `evaluation.baseline` on a problem's test rows.

    Its penalties and calibration factor come from validation classes as its own run's do. None
    where a run is of a baseline itself, of too many classes or too few for validation classes, or
    without test rows.
    """
    method = config.evaluation.baseline
    if method == "none" or config.method in BASELINES or not problem.is_measured:
        return None
    if len(problem.classes) > MOST_CLASSES:
        return None
    evaluation = config.evaluation.model_copy(update={"calibration": "validation"})
    settings = config.model_copy(update={"method": method, "evaluation": evaluation})
    try:
        selection = choose_penalties(dataset, settings, None)
    except InputError:  # too few classes for validation classes, which this run does without
        return None
    fitted = fit_baseline(problem, method, selection.settings or {})
    scored = score_rows(fitted, problem)
    found = measure(scored.seen, scored.unseen, selection.calibration_factor)
    return {"method": method, **{name: getattr(found, name) for name in FIGURES}}


def fit_baseline(problem: Problem, method: str, settings: dict[str, float]) -> Candidate:
    """Fit with the penalties that were chosen."""
    (fitted,) = _candidates(method, problem, settings)
    return fitted


def score_rows(candidate: Candidate, problem: Problem) -> ScoredProblem:
    """Score the rows that a problem is measured on, block by block."""

    def scored(rows: Rows) -> ScoredRows:
        return ScoredRows.joined(
            ScoredRows.from_scores(
                candidate.score(rows.features[part]).numpy(),
                rows.labels[part].numpy(),
                problem.seen_count,
            )
            for part in score_slices(slice(0, len(rows)), len(problem.classes))
        )

    return ScoredProblem(seen=scored(problem.seen), unseen=scored(problem.unseen))


def _candidates(
    method: str, problem: Problem, only: dict[str, float] | None = None
) -> Iterator[Candidate]:
    if method == "clip":
        return clip(problem)
    if only is None:
        return ridge(problem) if method == "ridge" else nearest_prototype(problem)
    penalty = [only["semantic_penalty"]]
    if method == "ridge":
        return ridge(problem, [only["feature_penalty"]], penalty)
    return nearest_prototype(problem, [only.get("kernel_width", LINEAR)], penalty)
