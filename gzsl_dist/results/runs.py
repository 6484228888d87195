"""Finished runs as a report reads them, and which of them differ in their seed only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gzsl_dist.config import Config
from gzsl_dist.config.files import read_run_config
from gzsl_dist.config.nested import flat
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.confusion import read_confusion
from gzsl_dist.evaluation.representation import read_representation
from gzsl_dist.results.groups import (
    FIGURES,
    RAW,
    Group,
    Run,
    gaps,
    result_facts,
    result_figures,
    telling,
)
from gzsl_dist.run.files import RunFiles
from gzsl_dist.run.metrics import read_metrics
from gzsl_dist.run.result import Result

MOST_SETTINGS = 3  # that a name tells before it falls back to a run's name


@dataclass(frozen=True, kw_only=True)
class FinishedRun(Run):
    """What a run left in its directory; nothing is measured again.

    Attributes:
        name: of the directory, longer where two runs would share it.
        method: its name in the sweep file that it comes from, else the preset's.
        result: its figures on test rows.
        config: all settings.
        losses: lines of metrics.jsonl.
        validation: lines of selection/metrics.jsonl, of the first of several folds; empty without
            selection.
        confusion: see `gzsl_dist.evaluation.confusion`; None if it was not written.
        representation: see `gzsl_dist.evaluation.representation`; None if it was not written.
    """

    name: str
    method: str
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

    @cached_property
    def computed(self) -> dict[str, Any]:
        """Settings that decide what it computes, but for its seed and where its data lie."""
        return {
            name: value
            for name, value in sorted(self.config.decisive.items())
            if name not in ("train.seed", "data.path")
        }

    @property
    def data(self) -> str:
        """The data set's fingerprint."""
        return self.result.dataset["fingerprint"]


Finished = Group[FinishedRun]


def read_runs(
    directories: Sequence[Path], methods: Mapping[Path, str] | None = None
) -> list[FinishedRun]:
    """Read finished runs.

    Args:
        directories: of runs.
        methods: names of methods, by directory, that are not the presets'.

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
    return [
        _read(place, name, (methods or {}).get(place))
        for place, name in zip(directories, names, strict=True)
    ]


def _read(directory: Path, name: str, method: str | None) -> FinishedRun:
    files, config = RunFiles(directory), read_run_config(directory)
    result, representation = Result.read(files.result), read_representation(directory)
    return FinishedRun(
        seed=result.seed,
        figures=result_figures(asdict(result), representation),
        facts=result_facts(name, asdict(result)),
        name=name,
        method=method or config.method,
        result=result,
        config=config,
        losses=read_metrics(files.metrics),
        validation=read_metrics(files.folds(config.evaluation.folds)[0].metrics),
        confusion=read_confusion(directory),
        representation=representation,
    )


def group_runs(runs: Sequence[FinishedRun]) -> list[Finished]:
    """Groups in the order of their first runs, data set by data set."""
    found: dict[tuple[str, str, str], list[FinishedRun]] = {}
    for run in runs:
        found.setdefault((run.data, run.method, repr(run.computed)), []).append(run)
    order = list(dict.fromkeys(run.data for run in runs))
    members = sorted(found.values(), key=lambda group: order.index(group[0].data))
    data = _data_names(runs)
    every = [group[0].computed for group in members]
    groups = []
    for group in members:
        run, name = group[0], data[group[0].data]
        like = [one[0] for one in members if (one[0].data, one[0].method) == (run.data, run.method)]
        told = telling(run.computed, [other.computed for other in like])
        called = run.method
        if len(told) > MOST_SETTINGS:
            called += f" ({run.name})"
        elif told:
            called += f" ({', '.join(f'{setting} {value}' for setting, value in told.items())})"
        called += f" on {name}" if len(data) > 1 else ""
        texts = tuple((one, str(value)) for one, value in telling(run.computed, every).items())
        groups.append(Finished(name, run.method, texts, tuple(group), len(group), called=called))
    return groups


def _data_names(runs: Sequence[FinishedRun]) -> dict[str, str]:
    """Names of data sets by fingerprint, with a part of it where two share a name."""
    names = {run.data: run.result.dataset["name"] for run in runs}
    shared = [name for name in names.values() if list(names.values()).count(name) > 1]
    return {
        fingerprint: f"{name} {fingerprint[:6]}" if name in shared else name
        for fingerprint, name in names.items()
    }


def notes(groups: Sequence[Finished]) -> list[str]:
    """What a reader of the figures must know, a sentence each; most important first."""
    found = []
    data = {group.data: group.runs[0].data for group in groups}
    if len(data) > 1:
        told = "; ".join(
            f"{name} (fingerprint {fingerprint[:12]}): "
            + ", ".join(group.name for group in groups if group.data == name)
            for name, fingerprint in data.items()
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
    found += gaps(groups, (*FIGURES, *RAW))
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
