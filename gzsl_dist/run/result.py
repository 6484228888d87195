"""result.json: what a run achieved, and all that is needed to read the figures."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_write, read_json_object

FIGURES = ("U", "S", "H", "T1", "AUSUC")


def absence(figures: Container[str]) -> str:
    """Why some of `FIGURES` are not among a run's, for people; empty where all are."""
    sides = [side for side, name in (("unseen", "U"), ("seen", "S")) if name not in figures]
    return f"no test rows of {' or '.join(sides)} classes" if sides else ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Figures on the test rows; accuracies are fractions.

    A figure is None, and not in the file, where the test rows that it is of are not there.

    Attributes:
        U: mean per-class top-1 of unseen classes, all classes competing, calibrated.
        S: the same of seen classes.
        H: their harmonic mean.
        T1: mean per-class top-1 of unseen classes among unseen classes only.
        AUSUC: area under the seen-unseen curve.
        raw: U, S and H without calibration, those that are there.
        calibration: ``mode`` and ``factor``.
        per_class: top-1 by class name, ``seen`` and ``unseen``.
        curve: ``U`` and ``S`` along the seen-unseen curve; empty where one is absent.
        dataset: ``name`` and ``fingerprint``.
        seed: of the run.
        method: preset.
        strategy: how processes trained together.
        world_size: number of processes.
        steps: generator steps trained.
        selection: how steps and factor were chosen.
        seconds: wall time of the start that finished the run.
        versions: of this package and what it stands on.
        test_rows: how many there are, and how often they were read before and after the end of
            training, summed over rows (`gzsl_dist.evaluation.oracle.count_reads`).
        class_counts: ``seen`` and ``unseen`` classes that compete, also those without test rows.
        baseline: ``method`` and figures of `evaluation.baseline`, measured beside; None without.
        oracle: with `evaluation.oracle`, the best evaluation on test rows; never the result.
        classifier: how its fit ended (`gzsl_dist.evaluation.lbfgs.FitSummary`); None for baselines.
    """

    U: float | None = None
    S: float | None = None
    H: float | None = None
    T1: float | None = None
    AUSUC: float | None = None
    raw: dict[str, float]
    calibration: dict[str, Any]
    per_class: dict[str, dict[str, float]]
    curve: dict[str, list[float]]
    dataset: dict[str, str]
    seed: int
    method: str
    strategy: str
    world_size: int
    steps: int
    selection: dict[str, Any]
    seconds: float
    versions: dict[str, str]
    test_rows: dict[str, Any] | None = None
    class_counts: dict[str, int] | None = None
    baseline: dict[str, Any] | None = None
    oracle: dict[str, Any] | None = None
    classifier: dict[str, Any] | None = None

    @property
    def figures(self) -> dict[str, float]:
        """Those of U, S, H, T1 and AUSUC that are there."""
        return {name: value for name in FIGURES if (value := getattr(self, name)) is not None}

    @property
    def note(self) -> str:
        """Why figures are absent, for people; empty where all are there."""
        return absence(self.figures)

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all.

        Raises:
            InputError: the file cannot be written.
        """
        values = asdict(self) | ({"note": self.note} if self.note else {})
        absent = set(FIGURES) - set(self.figures)
        content = {name: value for name, value in values.items() if name not in absent}
        atomic_write(path, json.dumps(content, indent=2))

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read what `write` wrote, now or in an earlier version that wrote more.

        Raises:
            InputError: missing, or not a result.
        """
        values = read_json_object(path, "finish the run with gzsl_dist.train first")
        known = [field.name for field in fields(cls) if field.name in values]
        try:
            return cls(**{name: values[name] for name in known})
        except TypeError:
            raise InputError(
                f"{path}: not a result of this version of gzsl_dist.train; train again"
            ) from None
