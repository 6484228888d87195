"""What validation chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gzsl_dist.config import EvaluationSettings
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.metrics import ScoredRows, measure
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.evaluation.selection import (
    PREFIX,
    fixed,
    needs_validation,
    select,
    validation_figures,
)
from gzsl_dist.run.selection import Selection


def line(step: int, h: float, raw_h: float, factor: float) -> dict[str, Any]:
    names = ("U", "S", "T1", "AUSUC", "raw_U", "raw_S")
    return {
        "step": step,
        **{PREFIX + name: 0.5 for name in names},
        PREFIX + "H": h,
        PREFIX + "raw_H": raw_h,
        PREFIX + "calibration_factor": factor,
    }


LINES = [
    {"step": 10, "critic/total_loss": 1.0},
    line(20, 0.3, 0.25, 1.0),
    line(40, 0.5, 0.10, 2.0),
    line(60, 0.5, 0.20, 3.0),
    line(80, 0.4, 0.15, 4.0),
]


@pytest.mark.parametrize(
    ("selection", "calibration", "steps", "factor"),
    [
        ("validation", "validation", 40, 2.0),  # the first of equals
        ("validation", "none", 20, 0.0),
        ("fixed", "validation", 80, 4.0),
        ("fixed", "none", 80, 0.0),
        ("validation", "fixed", 40, 0.25),
        ("fixed", "fixed", 80, 0.25),
    ],
)
def test_choices(selection: str, calibration: str, steps: int, factor: float) -> None:
    given = {"calibration_factor": 0.25} if calibration == "fixed" else {}
    settings = EvaluationSettings.model_validate(
        {"selection": selection, "calibration": calibration} | given
    )
    chosen = select(LINES, settings, 80, "note", "print")
    assert (chosen.steps, chosen.calibration_factor, chosen.how) == (steps, factor, "note")
    if (selection, calibration) == ("fixed", "fixed"):  # no training for it
        chosen = fixed(80, settings, "print")
        assert (chosen.steps, chosen.calibration_factor) == (steps, factor)
    assert needs_validation(settings) == ("validation" in (selection, calibration))


def test_reads_back_exactly(tmp_path: Path) -> None:
    chosen = Selection(40, 0.1 + 0.2, "note", "print", {"H": 1 / 3})
    chosen.write(tmp_path / "selection.json")
    assert Selection.read(tmp_path / "selection.json", "print") == chosen
    with pytest.raises(InputError, match="fingerprint print, this one has other"):
        Selection.read(tmp_path / "selection.json", "other")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"steps": 3}'])
def test_damage_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "selection.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"selection.json: damaged.*delete"):
        Selection.read(path, "print")


def test_without_any_validation() -> None:
    with pytest.raises(InputError, match="holds no validation"):
        select(LINES[:1], EvaluationSettings(), 80, "note", "print")


def test_a_fixed_factor_is_the_one_that_chooses() -> None:
    """H at a step's own best factor says nothing of H at the factor that is used."""
    labels = np.arange(2)
    seen = ScoredRows(labels, labels, labels + 2, np.array([1.0, 2.0]))
    unseen = ScoredRows(labels + 2, labels, labels + 2, np.array([-1.0, 0.5]))
    for factor in (0.25, 1.5):
        settings = EvaluationSettings.model_validate(
            {"calibration": "fixed", "calibration_factor": factor}
        )
        figures = validation_figures([ScoredProblem(seen, unseen)], settings)
        assert figures[PREFIX + "H"] == measure(seen, unseen, factor).H < 1
        assert figures[PREFIX + "calibration_factor"] == factor
    best = EvaluationSettings.model_validate({"calibration": "validation"})
    assert validation_figures([ScoredProblem(seen, unseen)], best)[PREFIX + "H"] == 1
