"""Finished runs as a report reads them, and which of them differ in their seed only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_dist.config import Config, is_free_to_differ
from gzsl_dist.config.files import read_run_config
from gzsl_dist.config.nested import flat
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.confusion import read_confusion
from gzsl_dist.evaluation.representation import read_representation
from gzsl_dist.results.statistics import Estimate
from gzsl_dist.run.files import RunFiles
from gzsl_dist.run.metrics import read_metrics
from gzsl_dist.run.result import Result

MOST_SETTINGS = 3  # that a name tells before it falls back to a run's name


@dataclass(frozen=True)
class FinishedRun:
    """What a run left in its directory; nothing is measured again.

    Attributes:
        name: of the directory, longer where two runs would share it.
        result: its figures on test rows.
        config: all settings.
        losses: lines of metrics.jsonl.
        validation: lines of selection/metrics.jsonl, of the first of several folds; empty without
            selection.
        confusion: see `gzsl_dist.evaluation.confusion`; None if it was not written.
        representation: see `gzsl_dist.evaluation.representation`; None if it was not written.
    """

    name: str
    result: Result
    config: Config
    losses: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    confusion: dict[str, Any] | None
    representation: dict[str, Any] | None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All settings by dotted name."""
        return flat(self.config.model_dump())

    @property
    def data(self) -> str:
        """The data set's fingerprint."""
        return self.result.dataset["fingerprint"]


@dataclass(frozen=True)
class Group:
    """Runs that compute the same but for their seed.

    Attributes:
        name: the method; settings and data set where the method alone does not tell groups apart.
        data_name: of the data set.
        runs: at least one.
    """

    name: str
    data_name: str
    runs: tuple[FinishedRun, ...]

    @property
    def data(self) -> str:
        """The data set's fingerprint."""
        return self.runs[0].data

    @property
    def seeds(self) -> list[int]:
        """Seeds, each once."""
        return sorted({run.result.seed for run in self.runs})

    def estimate(self, figure: Callable[[FinishedRun], float | None]) -> Estimate | None:
        """Mean and 95 % interval over seeds; None if no run has the figure.

        Runs of one seed (on another number of processes, say) count once, by their mean: they
        would make the interval narrower than it is.
        """
        by_seed: dict[int, list[float]] = {}
        for run in self.runs:
            value = figure(run)
            if value is not None:
                by_seed.setdefault(run.result.seed, []).append(value)
        if not by_seed:
            return None
        return Estimate.of([float(np.mean(values)) for values in by_seed.values()])


def read_runs(directories: Sequence[Path]) -> list[FinishedRun]:
    """Read finished runs.

    Raises:
        InputError: one has no result yet, is damaged, or is named twice.
    """
    places = [directory.resolve() for directory in directories]
    for place, directory in zip(places, directories, strict=True):
        if places.count(place) > 1:
            raise InputError(f"{directory}: named twice; a run counts once, name it once")
    names = [place.name for place in places]
    if len(set(names)) < len(names):
        names = [str(directory) for directory in directories]
    return [_read(place, name) for place, name in zip(directories, names, strict=True)]


def _read(directory: Path, name: str) -> FinishedRun:
    files, config = RunFiles(directory), read_run_config(directory)
    selection = files.folds(config.evaluation.folds)[0]
    return FinishedRun(
        name=name,
        result=Result.read(files.result),
        config=config,
        losses=read_metrics(files.metrics),
        validation=read_metrics(selection.metrics),
        confusion=read_confusion(directory),
        representation=read_representation(directory),
    )


def group_runs(runs: Sequence[FinishedRun]) -> list[Group]:
    """Groups in the order of their first runs, data set by data set."""
    found: dict[tuple[str, str], list[FinishedRun]] = {}
    for run in runs:
        found.setdefault((run.data, repr(_computed(run))), []).append(run)
    order = list(dict.fromkeys(run.data for run in runs))
    members = sorted(found.values(), key=lambda group: order.index(group[0].data))
    data = _data_names(runs)
    groups = []
    for group in members:
        name, data_name = _name(group, members), data[group[0].data]
        name += f" on {data_name}" if len(data) > 1 else ""
        groups.append(Group(name, data_name, tuple(group)))
    return groups


def _data_names(runs: Sequence[FinishedRun]) -> dict[str, str]:
    """Names of data sets by fingerprint, with a part of it where two share a name."""
    names = {run.data: run.result.dataset["name"] for run in runs}
    shared = [name for name in names.values() if list(names.values()).count(name) > 1]
    return {
        fingerprint: f"{name} {fingerprint[:6]}" if name in shared else name
        for fingerprint, name in names.items()
    }


def _computed(run: FinishedRun) -> dict[str, Any]:
    """Settings that decide what a run computes, but for its seed and where its data lie."""
    told = ("train.seed", "data.path")
    return {
        name: value
        for name, value in sorted(run.settings.items())
        if not is_free_to_differ(name) and name not in told
    }


def _name(group: list[FinishedRun], groups: list[list[FinishedRun]]) -> str:
    run = group[0]
    like = [
        other[0]
        for other in groups
        if (other[0].data, other[0].config.method) == (run.data, run.config.method)
    ]
    mine = _computed(run)
    telling = [
        name for name in mine if any(_computed(other).get(name) != mine[name] for other in like)
    ]
    if not telling:
        return run.config.method
    if len(telling) > MOST_SETTINGS:
        return f"{run.config.method} ({run.name})"
    return f"{run.config.method} ({', '.join(f'{name} {mine[name]}' for name in telling)})"


def notes(groups: Sequence[Group]) -> list[str]:
    """What a reader of the figures must know, a sentence each; most important first."""
    found = []
    data = {group.data: group.data_name for group in groups}
    if len(data) > 1:
        told = "; ".join(
            f"{name} (fingerprint {fingerprint[:12]}): "
            + ", ".join(group.name for group in groups if group.data == fingerprint)
            for fingerprint, name in data.items()
        )
        found.append(
            f"These runs are of {len(data)} different data sets. Figures of one do not compare "
            f"with those of another. {told}."
        )
    runs = [run for group in groups for run in group.runs]
    early = [run.name for run in runs if (run.result.test_rows or {}).get("reads_before_end")]
    if early:
        found.append(
            f"Test rows were looked at before the end of training of {', '.join(early)}; "
            "nothing here was chosen by them, see test_rows in result.json."
        )
    for group in groups:
        if len(group.seeds) < len(group.runs):
            found.append(
                f"{group.name}: {len(group.runs)} runs of {len(group.seeds)} seed(s); runs of one "
                "seed count once, by their mean."
            )
    lacking = [
        run.name
        for run in runs
        if run.confusion is None or (run.representation is None and run.losses)
    ]
    if lacking:
        found.append(
            f"Runs of an older version lack confusion or overlap: {', '.join(lacking)}. "
            "`python -m gzsl_dist.evaluate --run RUN --details` measures them."
        )
    return found
