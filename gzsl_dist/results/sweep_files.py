"""Show and write what a sweep found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_write
from gzsl_dist.results.collect import Group, collect
from gzsl_dist.results.sweep_tables import (
    PAIRED_NOTE,
    comparison_table,
    comparisons_of,
    note_of,
    table_of,
    to_csv,
    to_html,
    to_json,
    to_markdown,
    to_png,
)
from gzsl_dist.sweeps.plan import Task

FORMS: dict[str, Callable[[Sequence[Group]], str | bytes]] = {
    ".csv": to_csv,
    ".md": to_markdown,
    ".json": to_json,
    ".png": to_png,
}
SUFFIXES = (*FORMS, ".html")
LEAST_WIDTH = 160  # a narrower terminal wraps lines rather than losing names


def report(tasks: Sequence[Task], sweep: Path, outs: Sequence[Path]) -> None:
    """Print the table over seeds, and write it in the form that each file's ending says.

    Raises:
        InputError: no run is done, a result does not fit, or a file cannot be written.
    """
    for out in outs:
        if out.suffix not in SUFFIXES:
            raise InputError(f"--out {out}: must end in {', '.join(SUFFIXES)}")
    groups = collect(tasks)
    if not any(group.seeds for group in groups):
        raise InputError(
            f"sweep file {sweep}: no task is done; python -m gzsl_dist.sweep run {sweep} runs them"
        )
    _print(f"{sweep.stem}: {note_of(groups)}", table_of(groups))
    paired = comparison_table(comparisons_of(groups))
    if paired:
        _print(PAIRED_NOTE, paired)
    for line in chosen_points(groups):
        print(line)
    for out in outs:
        if out.suffix == ".html":
            atomic_write(out, to_html(groups, f"Sweep {sweep.stem}"))
        else:
            atomic_write(out, FORMS[out.suffix](groups))
        print(f"{out}: {len(groups)} combination(s)")


def chosen_points(groups: Sequence[Group]) -> list[str]:
    """The best trial of each method of a search, as ``points`` of a sweep file; else nothing."""
    lines = []
    for group in groups:
        if group.best:
            settings = ", ".join(f"{name}: {value}" for name, value in group.settings)
            lines.append(f"  {group.method}: [{{{settings}}}]  # {group.data}")
    return ["points:", *lines] if lines else []


def _print(title: str, rows: list[list[str]]) -> None:
    head, *body = rows
    table = Table(title=title)
    told = [n for n, _ in enumerate(head) if any(row[n] for row in body)]  # not an empty grid's
    for number in told:
        table.add_column(head[number], overflow="fold", no_wrap=number > 2)
    for row in body:
        table.add_row(*(row[number] for number in told))
    console = Console()
    console.width = max(console.width, LEAST_WIDTH)
    console.print(table)
