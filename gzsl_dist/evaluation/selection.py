"""Model selection on validation classes: training length and calibration factor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gzsl_dist.config import EvaluationSettings
from gzsl_dist.evaluation.metrics import ScoredRows, measure, seen_unseen_curve

PREFIX = "validation/"


@dataclass(frozen=True)
class Selection:
    """What validation classes (or the user) chose.

    Attributes:
        steps: generator steps to train for.
        calibration_factor: subtracted from the log-probabilities of seen classes.
        how: where both come from, for people.
        validation: figures on the validation classes at that step, None without validation.
    """

    steps: int
    calibration_factor: float
    how: str
    validation: dict[str, float] | None = None

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Selection:
        """Read what `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def needs_validation(settings: EvaluationSettings) -> bool:
    """Whether a model must be trained without the validation classes first."""
    return settings.selection == "validation" or settings.calibration == "validation"


def validation_figures(seen: ScoredRows, unseen: ScoredRows) -> dict[str, float]:
    """Figures of one validation, keyed for the log.

    U, S and H are those at the factor that is best for these rows; ``raw_`` ones are uncalibrated.
    """
    factor = seen_unseen_curve(seen, unseen).best_factor()
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
    metrics: Sequence[dict[str, Any]], settings: EvaluationSettings, steps: int, note: str
) -> Selection:
    """Choose from the validations logged in metrics.jsonl.

    Args:
        metrics: its lines.
        settings: ``selection: validation`` takes the step with the highest H (calibrated, if
            ``calibration: validation``), the first of equals; ``fixed`` takes the last step.
        steps: `train.steps`.
        note: how the validation problem was made.
    """
    validations = [line for line in metrics if PREFIX + "H" in line]
    calibrate = settings.calibration == "validation"
    criterion = PREFIX + ("H" if calibrate else "raw_H")
    chosen = validations[-1]
    if settings.selection == "validation":
        chosen = max(validations, key=lambda line: (line[criterion], -line["step"]))
    return Selection(
        steps=chosen["step"] if settings.selection == "validation" else steps,
        calibration_factor=chosen[PREFIX + "calibration_factor"] if calibrate else 0.0,
        how=note,
        validation={
            name.removeprefix(PREFIX): value
            for name, value in chosen.items()
            if name.startswith(PREFIX)
        },
    )
