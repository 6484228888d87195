"""Figures of a sweep over its seeds: mean and 95 % interval, as CSV, Markdown and HTML."""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from scipy import stats

from gzsl_dist.errors import InputError
from gzsl_dist.files import read_json_object
from gzsl_dist.sweeps.plan import Task

FIGURES = ("U", "S", "H", "T1", "AUSUC")

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem;
        padding: 0 1rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3rem .7rem; border-bottom: 1px solid #8886; text-align: left; }}
img {{ max-width: 100%; background: white; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{note}</p>
<div class="wide"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table></div>
<p><img alt="Mean H of each combination with its 95 % interval; the table has the numbers."
src="data:image/png;base64,{figure}"></p>
</body>
</html>
"""
NOTE = (
    "Mean over seeds, in percent, and half the width of its 95 % interval (Student's t); one seed "
    "has none. Test rows, read once at the end of each run."
)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds as a fraction, and half the width of its 95 % interval.

    `half_width` is NaN for fewer than two seeds.
    """

    mean: float
    half_width: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Estimate from one value a seed; Student's t with one degree of freedom less."""
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, math.nan)
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
        return cls(mean, float(stats.t.ppf(0.975, len(values) - 1)) * error)

    def __str__(self) -> str:
        width = "" if math.isnan(self.half_width) else f" ± {100 * self.half_width:.1f}"
        return f"{100 * self.mean:.1f}{width}"


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed only.

    Attributes:
        data: name of the data set in the sweep file.
        method: name of the method in the sweep file.
        point: values of the grid.
        seeds: seeds whose runs are done.
        planned: how many seeds the sweep has.
        estimates: by figure; empty where no run is done.
    """

    data: str
    method: str
    point: str
    seeds: tuple[int, ...]
    planned: int
    estimates: dict[str, Estimate]


def collect(tasks: Sequence[Task]) -> list[Group]:
    """Figures of every combination, in the order of the sweep file.

    Raises:
        InputError: a result cannot be read, or two runs of a data set saw different data.
    """
    fingerprints: dict[str, tuple[str, Path]] = {}
    found: dict[tuple[str, str, str], list[tuple[int, dict[str, float]]]] = {}
    planned: dict[tuple[str, str, str], int] = {}
    for task in tasks:
        planned[task.group] = planned.get(task.group, 0) + 1
        values = found.setdefault(task.group, [])
        path = task.directory / "result.json"
        if not path.exists():
            continue
        result = read_json_object(path, "delete it and run the sweep again")
        try:
            figures = {name: float(result[name]) for name in FIGURES}
            fingerprint = str(result["dataset"]["fingerprint"])
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{path}: not a result; delete it and run the sweep again") from None
        first, other = fingerprints.setdefault(task.data, (fingerprint, path))
        if first != fingerprint:
            raise InputError(
                f"{path}: of another data set (fingerprint {fingerprint[:12]}) than {other} "
                f"({first[:12]}); means over both say nothing: delete one of the runs"
            )
        values.append((task.seed, figures))
    return [
        Group(
            *key,
            tuple(seed for seed, _ in values),
            planned[key],
            {name: Estimate.of([v[name] for _, v in values]) for name in FIGURES if values},
        )
        for key, values in found.items()
    ]


def table_of(groups: Sequence[Group]) -> list[list[str]]:
    """Rows of text, the first with the names of the columns."""
    rows = [["data", "method", "settings", "seeds", *FIGURES]]
    for group in groups:
        cells = [str(group.estimates[name]) if group.estimates else "" for name in FIGURES]
        seeds = f"{len(group.seeds)} of {group.planned}"
        rows.append([group.data, group.method, group.point, seeds, *cells])
    return rows


def to_markdown(groups: Sequence[Group]) -> str:
    """A Markdown table."""
    head, *body = table_of(groups)
    lines = [head, ["---"] * len(head), *body]
    return "".join("| " + " | ".join(cell or "–" for cell in line) + " |\n" for line in lines)


def to_csv(groups: Sequence[Group]) -> str:
    """One line a combination; fractions, with the interval's ends, empty where unknown."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [f"{name}{end}" for name in FIGURES for end in ("", "_low", "_high")]
    writer.writerow(["data", "method", "settings", "seeds", "planned", *names])
    for group in groups:
        cells: list[str] = []
        for name in FIGURES:
            estimate = group.estimates.get(name)
            if estimate is None:
                cells += ["", "", ""]
                continue
            ends = (estimate.mean - estimate.half_width, estimate.mean + estimate.half_width)
            cells.append(f"{estimate.mean:.6f}")
            cells += ["" if math.isnan(end) else f"{end:.6f}" for end in ends]
        seeds = " ".join(map(str, group.seeds))
        writer.writerow([group.data, group.method, group.point, seeds, group.planned, *cells])
    return buffer.getvalue()


def to_html(groups: Sequence[Group], title: str) -> str:
    """One page with the table and a figure inside; it loads nothing from elsewhere."""
    head, *body = table_of(groups)
    return PAGE.format(
        title=escape(title),
        note=escape(NOTE),
        head="".join(f'<th scope="col">{escape(cell)}</th>' for cell in head),
        body="\n".join(
            "<tr>" + "".join(f"<td>{escape(cell or '–')}</td>" for cell in row) + "</tr>"
            for row in body
        ),
        figure=base64.b64encode(_figure(groups)).decode(),
    )


def _figure(groups: Sequence[Group]) -> bytes:
    from matplotlib.figure import Figure

    shown = [group for group in groups if group.estimates][::-1]
    figure = Figure(figsize=(8, 1 + 0.4 * max(len(shown), 1)), layout="constrained")
    axes = figure.subplots()
    for row, group in enumerate(shown):
        estimate = group.estimates["H"]
        width = 0.0 if math.isnan(estimate.half_width) else 100 * estimate.half_width
        axes.errorbar([100 * estimate.mean], [row], xerr=[width], fmt="o", capsize=4, color="C0")
    names = [" ".join(filter(None, (g.data, g.method, g.point))) for g in shown]
    axes.set_yticks(range(len(shown)), names)
    axes.set(
        xlabel="H in percent: mean and 95 % interval over seeds", ylim=(-0.5, len(shown) - 0.5)
    )
    axes.grid(axis="x", alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
