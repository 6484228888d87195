"""Model selection on validation classes: training length and calibration factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean as mean
from typing import Any

from gzsl_dist.config import EvaluationSettings
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.metrics import best_common_factor, measure, seen_unseen_curve
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.run.selection import Selection

PREFIX = "validation/"


def needs_validation(settings: EvaluationSettings) -> bool:
    """Whether a model must be trained without the validation classes first."""
    return settings.selection == "validation" or settings.calibration == "validation"


def validation_figures(
    folds: Sequence[ScoredProblem], settings: EvaluationSettings
) -> dict[str, float]:
    """Figures of a validation, means over its folds, keyed for the log.

    U, S and H are those at the fixed factor with ``calibration: fixed``, for test rows are measured
    at it; else at the one factor that is best for all folds. ``raw_`` ones are uncalibrated.
    """
    best = best_common_factor([seen_unseen_curve(fold.seen, fold.unseen) for fold in folds])
    factor = settings.factor(best) if settings.calibration == "fixed" else best
    every = [
        (measure(fold.seen, fold.unseen, factor), measure(fold.seen, fold.unseen)) for fold in folds
    ]
    figures = {
        "U": mean(calibrated.U for calibrated, _ in every),
        "S": mean(calibrated.S for calibrated, _ in every),
        "H": mean(calibrated.H for calibrated, _ in every),
        "T1": mean(raw.T1 for _, raw in every),
        "AUSUC": mean(raw.AUSUC for _, raw in every),
        "calibration_factor": factor,
        "raw_U": mean(raw.U for _, raw in every),
        "raw_S": mean(raw.S for _, raw in every),
        "raw_H": mean(raw.H for _, raw in every),
    }
    return {PREFIX + name: value for name, value in figures.items()}


def validations_of_folds(
    folds: Sequence[Mapping[int, ScoredProblem]], settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """Mean figures of each step at which all folds were validated, as lines of metrics.jsonl.

    Args:
        folds: scored rows of each fold by step.
        settings: see `validation_figures`.
    """
    steps = sorted(set.intersection(*(set(fold) for fold in folds)))
    return [
        {"step": step} | validation_figures([fold[step] for fold in folds], settings)
        for step in steps
    ]


def select(
    metrics: Sequence[dict[str, Any]],
    settings: EvaluationSettings,
    steps: int,
    note: str,
    fingerprint: str,
) -> Selection:
    """Choose from validations, the lines of metrics.jsonl or of `validations_of_folds`.

    ``selection: validation`` takes the step with the highest H (uncalibrated with ``calibration:
    none``), the first of equals; ``fixed`` takes the last step, `train.steps`.

    Raises:
        InputError: nothing was validated.
    """
    validations = [line for line in metrics if PREFIX + "H" in line]
    criterion = PREFIX + settings.criterion
    if not validations:
        raise InputError(
            "selection/metrics.jsonl holds no validation; delete the folder selection to train anew"
        )
    chosen = validations[-1]
    if settings.selection == "validation":
        chosen = max(validations, key=lambda line: (line[criterion], -line["step"]))
    return Selection(
        steps=chosen["step"] if settings.selection == "validation" else steps,
        calibration_factor=settings.factor(chosen[PREFIX + "calibration_factor"]),
        how=note,
        fingerprint=fingerprint,
        validation={
            name.removeprefix(PREFIX): value
            for name, value in chosen.items()
            if name.startswith(PREFIX)
        },
    )


def fixed(steps: int, settings: EvaluationSettings, fingerprint: str) -> Selection:
    """What the configuration chose, without validation."""
    return Selection(steps, settings.factor(0.0), "fixed by the configuration", fingerprint)
