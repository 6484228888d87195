"""Tables and the page of a sweep's figures."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Sequence

from gzsl_dist.results.collect import Comparison, Group, compare
from gzsl_dist.results.html import html_table, page
from gzsl_dist.results.separation import NOTE as SEPARATION_NOTE
from gzsl_dist.results.separation import separation_table
from gzsl_dist.results.statistics import Estimate
from gzsl_dist.results.table import Table

NOTE = (
    "Mean over seeds, in percent, and half the width of its 95 % interval (Student's t); one seed "
    "has none."
)
TEST_NOTE = f"{NOTE} Test rows, read once at the end of each run."
SEARCH_NOTE = (
    f"{NOTE} Validation classes at the step chosen on them, so all figures are optimistic; no test "
    "row was read. Steps and factor as chosen."
)
PAIRED_NOTE = (
    "Paired differences over the seeds that both have, in points, and half the width of their 95 % "
    "interval (paired t); * where it leaves out zero. Not corrected for the number of comparisons."
)


def note_of(groups: Sequence[Group]) -> str:
    """What the figures are."""
    return SEARCH_NOTE if groups[0].searches else TEST_NOTE


def figure_text(name: str, estimate: Estimate) -> str:
    """An estimate in its figure's unit."""
    if name == "steps":
        return estimate.text(1, 0)
    return estimate.text(1, 3) if name == "factor" else str(estimate)


def table_of(groups: Sequence[Group]) -> list[list[str]]:
    """Rows of text, the first with the names of the columns."""
    figures, marks = groups[0].figures, ["best"] * groups[0].searches
    rows = [["data", "method", "settings", "seeds", *figures, *marks]]
    for group in groups:
        found = group.estimates
        cells = [figure_text(name, found[name]) if found else "" for name in figures]
        marked = [mark if group.best else "" for mark in marks]
        seeds = f"{len(group.seeds)} of {group.planned}"
        rows.append([group.data, group.method, group.point, seeds, *cells, *marked])
    return rows


def comparison_table(comparisons: Sequence[Comparison]) -> list[list[str]]:
    """Rows of text, the first with the names of the columns; nothing without comparisons."""
    if not comparisons:
        return []
    names = list(comparisons[0].differences)
    rows = [["data", "first", "less", "seeds", *names]]
    for comparison in comparisons:
        seeds = str(len(comparison.differences[names[0]].seeds))
        cells = [str(comparison.differences[name]) for name in names]
        rows.append([comparison.data, comparison.first, comparison.other, seeds, *cells])
    return rows


def comparisons_of(groups: Sequence[Group]) -> list[Comparison]:
    """Between methods of a finished study; trials of a search are not compared."""
    return [] if groups[0].searches else compare(groups)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of rows of text."""
    if not rows:
        return ""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "".join("| " + " | ".join(cell or "–" for cell in line) + " |\n" for line in lines)


def to_markdown(groups: Sequence[Group]) -> str:
    """Markdown tables of the figures, of the paired differences and of how classes keep apart."""
    noted = (
        (PAIRED_NOTE, comparison_table(comparisons_of(groups))),
        (SEPARATION_NOTE, separation_table(groups)),
    )
    more = [f"\n{note}\n\n{markdown_table(rows)}" for note, rows in noted if rows]
    return markdown_table(table_of(groups)) + "".join(more)


def to_json(groups: Sequence[Group]) -> str:
    """Every figure of every run, as fractions, by seed."""
    content = [
        {
            "data": group.data,
            "method": group.method,
            "settings": dict(group.settings),
            "runs": {str(seed): figures for seed, figures in group.runs.items()},
        }
        for group in groups
    ]
    return json.dumps(content, indent=1) + "\n"


def to_csv(groups: Sequence[Group]) -> str:
    """One line a combination; fractions, with the interval's ends, empty where unknown.

    In a finished study also by how much the data set's first combination is ahead of each other.
    """
    figures = groups[0].figures
    differences = {
        (comparison.data, comparison.other): comparison.differences
        for comparison in comparisons_of(groups)
    }
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [f"{name}{end}" for name in figures for end in ("", "_low", "_high")]
    paired = [] if groups[0].searches else [f"first_less_this_{name}" for name in names]
    writer.writerow(["data", "method", "settings", "seeds", "planned", *names, *paired])
    for group in groups:
        cells = [cell for name in figures for cell in _ends(group.estimates.get(name))]
        if paired:
            found = differences.get((group.data, group.name), {})
            for name in figures:
                cells += _ends(found[name].estimate if name in found else None)
        seeds = " ".join(map(str, group.seeds))
        writer.writerow([group.data, group.method, group.point, seeds, group.planned, *cells])
    return buffer.getvalue()


def _ends(estimate: Estimate | None) -> list[str]:
    """Mean, low and high end as cells."""
    if estimate is None:
        return ["", "", ""]
    ends = ["" if math.isnan(end) else f"{end:.6f}" for end in estimate.interval]
    return [f"{estimate.mean:.6f}", *ends]


def to_html(groups: Sequence[Group], title: str) -> str:
    """One page with the tables and a figure inside; it loads nothing from elsewhere."""
    parts = [html_table(_table(note_of(groups), table_of(groups)))]
    paired = comparison_table(comparisons_of(groups))
    if paired:
        parts.append(html_table(_table(PAIRED_NOTE, paired)))
    apart = separation_table(groups)
    if apart:
        parts.append(html_table(_table(SEPARATION_NOTE, apart)))
    figure = base64.b64encode(to_png(groups)).decode()
    parts.append(
        '<p><img alt="Means of each combination with their 95 % intervals; the table has the '
        f'numbers." src="data:image/png;base64,{figure}"></p>'
    )
    return page(title, "", "\n".join(parts))


def _table(caption: str, rows: Sequence[Sequence[str]]) -> Table:
    head, *body = rows
    return Table(caption, tuple(head), [[cell or "–" for cell in row] for row in body], words=3)


def to_png(groups: Sequence[Group]) -> bytes:
    """A picture of every figure's mean with its interval, a line a combination."""
    from matplotlib.figure import Figure

    shown = [group for group in groups if group.runs][::-1]
    names = shown[0].figures[:5]
    figure = Figure(figsize=(3 + 2 * len(names), 1 + 0.5 * len(shown)), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True)
    for name, axes in zip(names, panels, strict=True):
        for row, group in enumerate(shown):
            estimate = group.estimates[name]
            width = 0.0 if math.isnan(estimate.half_width) else 100 * estimate.half_width
            mean = 100 * estimate.mean
            axes.errorbar([mean], [row], xerr=[width], fmt="o", capsize=4, color="C0")
        axes.set(title=name, ylim=(-0.5, len(shown) - 0.5))
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(shown)), [_label(group, shown) for group in shown])
    figure.supxlabel("percent: mean and 95 % interval over seeds", fontsize="medium")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _label(group: Group, shown: Sequence[Group]) -> str:
    """What tells a combination from the others: its method, and its settings if it has rivals."""
    alike = [other for other in shown if (other.data, other.method) == (group.data, group.method)]
    return f"{group.data} {group.method}" + (f"\n{group.point}" if len(alike) > 1 else "")
