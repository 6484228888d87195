"""What a sweep's runs achieved, by combination of settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gzsl_dist.errors import InputError
from gzsl_dist.files import read_json_object
from gzsl_dist.results.statistics import Difference, Estimate, paired_difference
from gzsl_dist.run.selection import Selection
from gzsl_dist.sweeps.plan import Task

FIGURES = ("U", "S", "H", "T1", "AUSUC")
SEARCH_FIGURES = ("H", "T1", "U", "S", "AUSUC", "raw_H", "steps", "factor")
"""Of a search: on validation classes at the step that was chosen, that step, and the factor."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed only.

    Attributes:
        data: name of the data set in the sweep file.
        method: name of the method in the sweep file.
        settings: values of the grid or of the point, by dotted name.
        planned: how many seeds the sweep has.
        searches: whether its runs stop after model selection.
        runs: figures by seed, of runs that are done; further ones where a result has them.
        best: of a search, whether it leads the trials of its method.
    """

    data: str
    method: str
    settings: tuple[tuple[str, str], ...]
    planned: int
    searches: bool
    runs: dict[int, dict[str, float]]
    best: bool = False

    @property
    def point(self) -> str:
        """The settings in one line."""
        return ", ".join(f"{name}={value}" for name, value in self.settings)

    @property
    def name(self) -> str:
        """Method and settings."""
        return f"{self.method} {self.point}".strip()

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures to show."""
        return SEARCH_FIGURES if self.searches else FIGURES

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds whose runs are done."""
        return tuple(self.runs)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Over seeds, of every figure that all runs have; empty where no run is done."""
        found = list(self.runs.values())
        names = [name for name in found[0] if all(name in run for run in found)] if found else []
        return {name: Estimate.of([run[name] for run in found]) for name in names}


def collect(tasks: Sequence[Task]) -> list[Group]:
    """Figures of every combination, in the order of the sweep file; of a search, best first.

    Raises:
        InputError: a result cannot be read, or two runs of a data set saw different data.
    """
    fingerprints: dict[str, tuple[str, Path]] = {}
    found: dict[tuple[str, str, str], Group] = {}
    planned: dict[tuple[str, str, str], int] = {}
    for task in tasks:
        planned[task.group] = planned.get(task.group, 0) + 1
    for task in tasks:
        group = found.setdefault(
            task.group,
            Group(task.data, task.method, task.point, planned[task.group], task.searches, {}),
        )
        if not task.outcome.exists():
            continue
        figures, fingerprint = _read(task)
        first, other = fingerprints.setdefault(task.data, (fingerprint, task.outcome))
        if first != fingerprint:
            raise InputError(
                f"{task.outcome}: of another data set (fingerprint {fingerprint[:12]}) than "
                f"{other} ({first[:12]}); means over both say nothing: delete one of the runs"
            )
        group.runs[task.seed] = figures
    groups = list(found.values())
    return _ranked(groups, tasks) if tasks[0].searches else groups


def _read(task: Task) -> tuple[dict[str, float], str]:
    """A task's figures, and the fingerprint of its data set."""
    values = read_json_object(task.outcome, "delete it and run the sweep again")
    try:
        if task.searches:
            return _search_figures(Selection(**values)), str(values["fingerprint"])
        figures = _result_figures(values) | _representation_figures(task.directory)
        return figures, str(values["dataset"]["fingerprint"])
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{task.outcome}: not a result; delete it and run the sweep again"
        ) from None


def _search_figures(selection: Selection) -> dict[str, float]:
    validation = selection.validation or {}
    chosen = {"steps": float(selection.steps), "factor": selection.calibration_factor}
    return chosen | {name: float(validation[name]) for name in SEARCH_FIGURES[:6]}


def _result_figures(result: dict[str, Any]) -> dict[str, float]:
    figures = {name: float(result[name]) for name in FIGURES}
    figures |= {name: float(result[name]) for name in ("seconds",) if name in result}
    figures |= {f"raw_{name}": float(value) for name, value in result.get("raw", {}).items()}
    oracle = result.get("oracle") or {}
    figures |= {f"oracle_{name}": oracle[name] for name in ("U", "S", "H", "T1") if oracle}
    return figures


def _representation_figures(directory: Path) -> dict[str, float]:
    """How well unseen classes keep apart, as ``real_u_margin``; empty where it was not measured."""
    from gzsl_dist.evaluation.representation import FIGURES as names  # torch: not before it must
    from gzsl_dist.evaluation.representation import read_representation

    found = read_representation(directory) or {"groups": {}}
    return {
        f"{kind}_{space}_{name}": float(figures[name])
        for kind in ("real", "synthetic")
        for space, figures in found["groups"].get(f"{kind} unseen", {}).items()
        for name in names
    }


def _ranked(groups: list[Group], tasks: Sequence[Task]) -> list[Group]:
    """By data set and method in the order of the file, then by mean H on validation classes.

    That is H at the calibration factor, or without where the runs do not calibrate.
    """
    criterion = tasks[0].config.evaluation.criterion
    order = list(dict.fromkeys((group.data, group.method) for group in groups))

    def rank(group: Group) -> tuple[int, float]:
        mean = group.estimates[criterion].mean if group.runs else -1.0
        return order.index((group.data, group.method)), -mean

    ranked: list[Group] = []
    for group in sorted(groups, key=rank):
        leads = not ranked or (ranked[-1].data, ranked[-1].method) != (group.data, group.method)
        ranked.append(
            replace(group, best=bool(leads and group.runs)),
        )
    return ranked


@dataclass(frozen=True)
class Comparison:
    """The first combination of a data set against another, on the seeds that both have.

    Attributes:
        data: name of the data set in the sweep file.
        first: method and settings of the one that should be ahead.
        other: of the other.
        differences: ``first - other`` by figure.
    """

    data: str
    first: str
    other: str
    differences: dict[str, Difference]


def compare(groups: Sequence[Group]) -> list[Comparison]:
    """The first combination of every data set against all others of it, pair by pair of seeds."""
    comparisons = []
    for data in dict.fromkeys(group.data for group in groups):
        first, *others = [group for group in groups if group.data == data]
        for other in others:
            differences = {
                name: paired_difference(
                    {seed: run[name] for seed, run in first.runs.items()},
                    {seed: run[name] for seed, run in other.runs.items()},
                )
                for name in FIGURES
            }
            found = {name: value for name, value in differences.items() if value is not None}
            if found:
                comparisons.append(Comparison(data, first.name, other.name, found))
    return comparisons
