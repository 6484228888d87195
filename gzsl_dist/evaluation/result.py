"""From scored test rows to a run's result."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib.metadata import version

import numpy as np
import torch

from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.problem import Problem
from gzsl_dist.evaluation.lbfgs import FitSummary
from gzsl_dist.evaluation.metrics import measure, seen_unseen_curve
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.run.result import FIGURES, Result
from gzsl_dist.run.selection import Selection

CURVE_POINTS = 201


def result_of(
    scored: ScoredProblem,
    problem: Problem,
    dataset: Dataset,
    config: Config,
    selection: Selection,
    *,
    steps: int,
    strategy: str,
    world_size: int,
    seconds: float,
    fit: FitSummary | None = None,
) -> Result:
    """Measure scored test rows at the chosen calibration factor, and without."""
    factor = selection.calibration_factor
    metrics, raw = measure(scored.seen, scored.unseen, factor), measure(scored.seen, scored.unseen)
    curve = seen_unseen_curve(scored.seen, scored.unseen)
    points = np.unique(np.linspace(0, len(curve.seen) - 1, CURVE_POINTS).round().astype(int))
    sides = {"U": curve.unseen, "S": curve.seen} if problem.is_measured else {}
    found, uncalibrated = (
        {name: value for name, value in vars(each).items() if name in FIGURES and value == value}
        for each in (metrics, raw)
    )
    per_class: dict[str, dict[str, float]] = {"seen": {}, "unseen": {}}
    for number, accuracy in metrics.per_class.items():
        side = "seen" if number < problem.seen_count else "unseen"
        per_class[side][dataset.classes[problem.classes[number]]] = accuracy
    return Result(
        **found,
        raw={name: uncalibrated[name] for name in ("U", "S", "H") if name in uncalibrated},
        calibration={"mode": config.evaluation.calibration, "factor": factor},
        per_class=per_class,
        class_counts={
            "seen": problem.seen_count,
            "unseen": len(problem.classes) - problem.seen_count,
        },
        curve={name: values[points].tolist() for name, values in sides.items()},
        dataset={"name": dataset.name, "fingerprint": dataset.fingerprint},
        seed=config.train.seed,
        method=config.method,
        strategy=strategy,
        world_size=world_size,
        steps=steps,
        selection={"mode": config.evaluation.selection, **asdict(selection)},
        seconds=seconds,
        versions={
            "gzsl_dist": version("gzsl_dist"),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        classifier=asdict(fit) if fit is not None else None,
    )
