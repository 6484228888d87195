"""Model selection on validation classes: training length and calibration factor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.metrics import ScoredRows, measure, seen_unseen_curve
from gzsl_dist.files import atomic_write, read_json_object
from gzsl_dist.settings import EvaluationSettings

PREFIX = "validation/"


@dataclass(frozen=True)
class Selection:
    """What validation classes (or the user) chose.

    Attributes:
        steps: generator steps to train for.
        calibration_factor: subtracted from the log-probabilities of seen classes.
        how: where both come from, for people.
        fingerprint: of the data set.
        validation: figures on the validation classes at that step, None without validation.
        settings: of a baseline, chosen as well.
    """

    steps: int
    calibration_factor: float
    how: str
    fingerprint: str
    validation: dict[str, float] | None = None
    settings: dict[str, float] | None = None

    def write(self, path: Path) -> None:
        """Write as JSON."""
        atomic_write(path, json.dumps(asdict(self), indent=2))

    @classmethod
    def read(cls, path: Path, fingerprint: str) -> Selection:
        """Read what `write` wrote for the data set with this fingerprint.

        Raises:
            InputError: damaged, or made on another data set.
        """
        remedy = "delete the folder selection to choose anew"
        values = read_json_object(path, remedy)
        try:
            selection = cls(**values)
        except TypeError:
            raise InputError(f"{path}: damaged, has other fields; {remedy}") from None
        if selection.fingerprint != fingerprint:
            raise InputError(
                f"{path}: made on a data set with fingerprint {selection.fingerprint[:12]}, this "
                f"one has {fingerprint[:12]}; use another --run.dir"
            )
        return selection


def needs_validation(settings: EvaluationSettings) -> bool:
    """Whether a model must be trained without the validation classes first."""
    return settings.selection == "validation" or settings.calibration == "validation"


def validation_figures(
    seen: ScoredRows, unseen: ScoredRows, settings: EvaluationSettings
) -> dict[str, float]:
    """Figures of one validation, keyed for the log.

    U, S and H are those at the fixed factor with ``calibration: fixed``, for test rows are measured
    at it; else at the factor that is best for these rows. ``raw_`` ones are uncalibrated.
    """
    best = seen_unseen_curve(seen, unseen).best_factor()
    factor = settings.factor(best) if settings.calibration == "fixed" else best
    calibrated, raw = measure(seen, unseen, factor), measure(seen, unseen)
    figures = {
        "U": calibrated.U,
        "S": calibrated.S,
        "H": calibrated.H,
        "T1": raw.T1,
        "AUSUC": raw.AUSUC,
        "calibration_factor": factor,
        "raw_U": raw.U,
        "raw_S": raw.S,
        "raw_H": raw.H,
    }
    return {PREFIX + name: value for name, value in figures.items()}


def select(
    metrics: Sequence[dict[str, Any]],
    settings: EvaluationSettings,
    steps: int,
    note: str,
    fingerprint: str,
) -> Selection:
    """Choose from the validations logged in metrics.jsonl.

    Args:
        metrics: its lines.
        settings: ``selection: validation`` takes the step with the highest H (uncalibrated with
            ``calibration: none``), the first of equals; ``fixed`` takes the last step.
        steps: `train.steps`.
        note: how the validation problem was made.
        fingerprint: of the data set.

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
