"""Methods by problems on one page, from what `gzsl_dist.sweep collect --out FILE.json` wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gzsl_dist.errors import InputError
from gzsl_dist.results.statistics import Estimate, paired_difference
from gzsl_dist.results.sweep_tables import markdown_table

FIGURES = ("U", "S", "H", "T1", "AUSUC")
COMPARED = ("AUSUC", "T1", "H")
HEAD = """# Leaderboard

Generalized zero-shot learning on test rows: means over seeds in percent, and half the width of
their 95 % interval (Student's t). Nothing was chosen on test rows ([protocol.md](protocol.md)), but
for the column **H, optimistic**: the best epoch on test rows, which is what papers print, and no
result. Made by

    {command}
"""
NOTE = """
*First row less this*: paired differences over the seeds that both have, first row less this one, in
points, with half the width of their 95 % interval (paired t); * where it leaves out zero. Not
corrected for their number. *Seconds* are those of a run's last start. A method that several studies
have is reported as the first of them has it.
"""


@dataclass(frozen=True)
class Entry:
    """A method on a problem.

    Attributes:
        problem: name of the data set in the sweep file.
        method: its name, with what its point changes that others of its method do not.
        sweep: name of the sweep file, without its ending.
        runs: figures as fractions, and ``seconds``, by seed.
    """

    problem: str
    method: str
    sweep: str
    runs: Mapping[int, Mapping[str, float]]

    def estimate(self, name: str) -> Estimate | None:
        """Over all seeds; None where a run lacks the figure."""
        values = [run[name] for run in self.runs.values() if name in run]
        return Estimate.of(values) if values and len(values) == len(self.runs) else None


def read_entries(files: Sequence[Path]) -> list[Entry]:
    """All entries with runs, in the order of the files; of a method, those of its first file.

    Raises:
        InputError: a file cannot be read, is something else, or is named twice.
    """
    entries: list[Entry] = []
    for file in files:
        if files.count(file) > 1:
            raise InputError(f"{file}: named twice; name each file once")
        taken = {(entry.problem, entry.method) for entry in entries}
        try:
            groups = json.loads(file.read_text(encoding="utf-8"))
            for group in groups:
                runs = {int(seed): dict(run) for seed, run in group["runs"].items()}
                searched = any("factor" in run for run in runs.values())  # on validation classes
                if searched or any(name not in run for run in runs.values() for name in FIGURES):
                    raise ValueError("a run without U, S, H, T1 and AUSUC: a search, not a study")
                name = _name(str(group["method"]), dict(group["settings"]), groups, group["data"])
                here = [(each.problem, each.method) for each in entries if each.sweep == file.stem]
                if (group["data"], name) in here:
                    raise ValueError(f"{name} on {group['data']} is there twice")
                if runs and (group["data"], name) not in taken:
                    entries.append(Entry(str(group["data"]), name, file.stem, runs))
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{file}: not what gzsl_dist.sweep collect --out FILE.json writes ({error})"
            ) from None
    if not entries:
        raise InputError(f"{', '.join(map(str, files))}: no run is in them")
    return entries


def _name(method: str, settings: dict[str, str], groups: object, data: str) -> str:
    """The method, and those of its settings in which its points on a problem differ."""
    assert isinstance(groups, list)
    rivals = [
        dict(group["settings"])
        for group in groups
        if (group["method"], group["data"]) == (method, data)
    ]
    told = [
        f"{name} {value}"
        for name, value in settings.items()
        if any(rival.get(name) != value for rival in rivals) and "calibration_factor" not in name
    ]
    return ", ".join([method, *told])


def to_page(entries: Sequence[Entry], command: str) -> str:
    """Markdown: AUSUC of all methods on all problems, then a table a problem."""
    problems = list(dict.fromkeys(entry.problem for entry in entries))
    methods = list(dict.fromkeys(entry.method for entry in entries))
    found = {(entry.problem, entry.method): entry for entry in entries}
    rows = [["AUSUC", *problems]]
    for method in methods:
        cells = [_cell(found.get((problem, method)), "AUSUC") for problem in problems]
        rows.append([f"`{method}`", *cells])
    parts = [HEAD.format(command=command), "\n", markdown_table(rows), NOTE]
    for problem in problems:
        ours = [entry for entry in entries if entry.problem == problem]
        parts.append(f"\n## {problem}\n\n{markdown_table(_rows(ours))}\n")
        files = dict.fromkeys(entry.sweep for entry in ours)
        parts += [f"    python -m gzsl_dist.sweep run configs/studies/{f}.yaml\n" for f in files]
    return "".join(parts)


def _rows(entries: Sequence[Entry]) -> list[list[str]]:
    first = entries[0]
    heads = ["method", "seeds", *FIGURES, "H without a factor", "H, optimistic", "seconds"]
    rows = [[*heads, *(f"{name}, first row less this" for name in COMPARED)]]
    for entry in entries:
        seconds = entry.estimate("seconds")
        cells = [_cell(entry, name) for name in (*FIGURES, "raw_H", "oracle_H")]
        differences = [
            paired_difference(
                {seed: run[name] for seed, run in first.runs.items()},
                {seed: run[name] for seed, run in entry.runs.items()},
            )
            for name in COMPARED
        ]
        rows.append(
            [
                f"`{entry.method}`",
                str(len(entry.runs)),
                *cells,
                "" if seconds is None else f"{seconds.mean:.0f}",
                *("" if entry is first or one is None else str(one) for one in differences),
            ]
        )
    return rows


def _cell(entry: Entry | None, name: str) -> str:
    estimate = None if entry is None else entry.estimate(name)
    return "" if estimate is None else str(estimate)


def to_picture(entries: Sequence[Entry]) -> bytes:
    """PNG: AUSUC and T1 of every method with their intervals, a column a problem."""
    import io

    from matplotlib.figure import Figure

    problems = list(dict.fromkeys(entry.problem for entry in entries))
    methods = list(dict.fromkeys(entry.method for entry in entries))[::-1]
    size = (2.5 + 2.6 * len(problems), 1.2 + 0.55 * len(methods))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(problems), sharey=True, squeeze=False)[0]
    for problem, axes in zip(problems, panels, strict=True):
        for entry in (entry for entry in entries if entry.problem == problem):
            for shift, name, color in ((0.12, "AUSUC", "C0"), (-0.12, "T1", "C1")):
                estimate = entry.estimate(name)
                if estimate is not None:
                    width = 0.0 if math.isnan(estimate.half_width) else estimate.half_width
                    axes.errorbar(
                        [100 * estimate.mean], [methods.index(entry.method) + shift],
                        xerr=[100 * width], fmt="o", capsize=3, color=color,
                    )  # fmt: skip
        axes.set(title=problem, ylim=(-0.5, len(methods) - 0.5))
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(methods)), methods)
    figure.supxlabel("percent, with 95 % interval over seeds: AUSUC (blue, above), T1 (orange)")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
