"""result.json: what a run achieved, and all that is needed to read the figures."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_write, read_json_object


@dataclass(frozen=True)
class Result:
    """Figures on the official test rows; accuracies are fractions.

    Attributes:
        U: mean per-class top-1 of unseen classes, all classes competing, calibrated.
        S: the same of seen classes.
        H: their harmonic mean.
        T1: mean per-class top-1 of unseen classes among unseen classes only.
        AUSUC: area under the seen-unseen curve.
        raw: U, S and H without calibration.
        calibration: ``mode`` and ``factor``.
        per_class: top-1 by class name, ``seen`` and ``unseen``.
        curve: ``U`` and ``S`` along the seen-unseen curve.
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
        oracle: with `evaluation.oracle`, the best evaluation on test rows; never the result.
        classifier: how its fit ended (`gzsl_dist.evaluation.lbfgs.FitSummary`); None for baselines.
    """

    U: float
    S: float
    H: float
    T1: float
    AUSUC: float
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
    oracle: dict[str, Any] | None = None
    classifier: dict[str, Any] | None = None

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all.

        Raises:
            InputError: the file cannot be written.
        """
        atomic_write(path, json.dumps(asdict(self), indent=2))

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read what `write` wrote, now or in an earlier version that wrote more.

        Raises:
            InputError: missing, or not a result.
        """
        values = read_json_object(path, "finish the run with gzsl_dist.train first")
        try:
            return cls(**{name: values[name] for name in cls.__match_args__ if name in values})
        except TypeError:
            raise InputError(f"{path}: not a result of this version of gzsl_dist.train") from None
