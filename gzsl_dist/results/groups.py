"""Runs that differ in their seed only, and their figures over seeds."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from gzsl_dist.results.statistics import TWO_SEEDS, Estimate, paired_difference
from gzsl_dist.run.result import FIGURES as FIGURES
from gzsl_dist.run.result import absence

RAW = ("raw_U", "raw_S", "raw_H")
"""Without calibration."""
SEARCH_FIGURES = ("H", "T1", "U", "S", "AUSUC", "raw_H", "steps", "factor")
"""Of a search: on validation classes at the step that was chosen, that step, and the factor."""

SEPARABILITY = {
    "margin": "margin", "overlap": "overlap", "silhouette": "silhouette", "map_at_r": "mAP@R",
    "nmi": "NMI",
}  # fmt: skip
"""Figures of ``representation.json`` as tables call them."""

Settings = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Run:
    """What a run achieved.

    Attributes:
        seed: of the run.
        figures: by name (`result_figures`): fractions, but for ``seconds``, ``steps``, ``factor``.
        facts: how it was trained, by name (`result_facts`).
    """

    seed: int
    figures: Mapping[str, float]
    facts: Mapping[str, Any] = field(default_factory=dict)


AnyRun = TypeVar("AnyRun", bound=Run, covariant=True)


@dataclass(frozen=True)
class Group(Generic[AnyRun]):
    """Runs that differ in their seed only.

    Attributes:
        data: name of the data set.
        method: name of the method.
        settings: those in which groups of the method may differ, by dotted name.
        runs: that are done.
        planned: how many seeds there are to be.
        searches: whether its runs stop after model selection.
        best: of a search, whether it leads the trials of its method.
        called: its name, if not by method and settings.
    """

    data: str
    method: str
    settings: Settings
    runs: tuple[AnyRun, ...]
    planned: int
    searches: bool = False
    best: bool = False
    called: str = ""

    @property
    def name(self) -> str:
        """Unlike that of other groups of its data set."""
        return self.called or f"{self.method} {self.point}".strip()

    @property
    def point(self) -> str:
        """The settings in one line."""
        return ", ".join(f"{name}={value}" for name, value in self.settings)

    @property
    def seeds(self) -> list[int]:
        """Seeds of runs that are done, each once."""
        return sorted({run.seed for run in self.runs})

    def by_seed(self, name: str) -> dict[int, float]:
        """A figure by seed, where runs have it.

        Runs of one seed (on another number of processes, say) count once, by their mean: they
        would make the interval narrower than it is.
        """
        found: dict[int, list[float]] = {}
        for run in self.runs:
            if name in run.figures:
                found.setdefault(run.seed, []).append(run.figures[name])
        return {seed: float(np.mean(values)) for seed, values in found.items()}

    def estimate(self, name: str) -> Estimate | None:
        """Mean and 95 % interval over seeds; None unless every run has the figure."""
        if not self.runs or any(name not in run.figures for run in self.runs):
            return None
        return Estimate.of(list(self.by_seed(name).values()))

    def less(self, other: Group[Run], name: str) -> Estimate | None:
        """How far a figure is ahead of another group's; None where no seed is shared."""
        return paired_difference(self.by_seed(name), other.by_seed(name))


def shown_figures(groups: Sequence[Group[Run]]) -> tuple[str, ...]:
    """Names of the figures of a sweep's tables."""
    return SEARCH_FIGURES if groups[0].searches else FIGURES


def with_rivals(groups: Sequence[Group[AnyRun]]) -> list[tuple[Group[AnyRun], list[Group[AnyRun]]]]:
    """The first group of every data set, and all others of it."""
    data = dict.fromkeys(group.data for group in groups)
    of_data = [[group for group in groups if group.data == name] for name in data]
    return [(group[0], group[1:]) for group in of_data]


def telling(settings: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Those of the settings in which any rival differs."""
    return {
        name: value
        for name, value in settings.items()
        if any(rival.get(name) != value for rival in rivals)
    }


def result_figures(
    result: Mapping[str, Any], representation: Mapping[str, Any] | None
) -> dict[str, float]:
    """Figures of a run on test rows.

    Args:
        result: what ``result.json`` holds.
        representation: what ``representation.json`` holds, if it was written.

    Returns:
        `FIGURES` and `RAW` that are there, ``seconds``, ``oracle_U`` to ``oracle_T1`` if they were
        asked for, and how well classes keep apart as ``real_u_margin`` (unseen ones) or
        ``real_seen_u_margin``.
    """
    figures = {name: float(result[name]) for name in FIGURES if result.get(name) is not None}
    figures |= {name: float(result[name]) for name in ("seconds",) if name in result}
    figures |= {f"raw_{name}": float(value) for name, value in result.get("raw", {}).items()}
    oracle = result.get("oracle") or {}
    figures |= {f"oracle_{name}": oracle[name] for name in ("U", "S", "H", "T1") if oracle}
    for rows, spaces in (representation or {"groups": {}})["groups"].items():
        for space, measured in spaces.items():
            kind = rows.removesuffix(" unseen").replace(" ", "_")
            figures |= {
                f"{kind}_{space}_{name}": float(value)
                for name, value in measured.items()
                if name in SEPARABILITY
            }
    return figures


def result_facts(run: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """What a line of the CSV says of a run before its figures; ``factor`` is the calibration's."""
    found = {"run": run, "fingerprint": result["dataset"]["fingerprint"]}
    found["factor"] = result.get("calibration", {}).get("factor")
    names = ("steps", "world_size", "strategy")
    return found | {name: result[name] for name in names if name in result}


def gaps(groups: Sequence[Group[Run]], figures: Sequence[str]) -> list[str]:
    """Notes: which data lack test rows, and that an interval is too wide to be of use."""
    absent = [(group.data, absence(run.figures)) for group in groups for run in group.runs]
    notes = [f"{data}: {why}." for data, why in dict.fromkeys(absent) if why]
    found = [one for group in groups for name in figures if (one := group.estimate(name))]
    return notes + [TWO_SEEDS] * any(one.says_nothing for one in found)


def to_csv(groups: Sequence[Group[Run]]) -> str:
    """A line a run, for pandas; the columns are in docs/report.md."""
    lines = [
        {"data": group.data, "method": group.method, "seed": run.seed}
        | {**dict(group.settings), **run.facts, **run.figures}
        for group in groups
        for run in group.runs
    ]
    settings = dict.fromkeys(name for group in groups for name, _ in group.settings)
    names = dict.fromkeys(
        ["data", "method", "seed", *settings, *(n for line in lines for n in line)]
    )
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def to_json(groups: Sequence[Group[Run]]) -> str:
    """Every figure of every run, as fractions, by seed."""
    content = [
        {
            "data": group.data,
            "method": group.method,
            "settings": dict(group.settings),
            "runs": {str(run.seed): dict(run.figures) for run in group.runs},
        }
        for group in groups
    ]
    return json.dumps(content, indent=1) + "\n"


def from_json(text: str) -> list[Group[Run]]:
    """What `to_json` wrote.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is something else.
    """
    groups = []
    for each in json.loads(text):
        runs = tuple(Run(int(seed), dict(figures)) for seed, figures in each["runs"].items())
        searches = any("factor" in run.figures for run in runs)
        settings = tuple(each["settings"].items())
        data, method = str(each["data"]), str(each["method"])
        groups.append(Group(data, method, settings, runs, len(runs), searches))
    return groups
