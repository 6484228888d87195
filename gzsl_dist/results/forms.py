"""Reports and sweeps as files, in the form that a file's ending says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_write
from gzsl_dist.results import class_tables, tables
from gzsl_dist.results.collect import chosen_points, collect, not_begun
from gzsl_dist.results.curves import overview
from gzsl_dist.results.groups import Group, Run, gaps, shown_figures, to_csv, to_json
from gzsl_dist.results.page import html_report, html_study
from gzsl_dist.results.picture import png, study_picture
from gzsl_dist.results.repeat import repeat_command
from gzsl_dist.results.runs import Finished, notes
from gzsl_dist.results.table import Table
from gzsl_dist.sweeps.plan import Task

LEAST_WIDTH = 160  # a narrower terminal wraps lines rather than losing names


def markdown_report(groups: Sequence[Finished]) -> str:
    """All tables, what to know about them, and the commands that repeat the runs."""
    found = [
        tables.results(groups),
        tables.every_run(groups),
        *(class_tables.best_and_worst(groups, side) for side in ("unseen", "seen")),
        class_tables.most_confused(groups),
        tables.separability(groups, tables.ALL_ROWS),
        tables.settings(groups),
        tables.versions(groups),
    ]
    parts = [f"> {note}\n" for note in notes(groups)]
    parts += [f"{each.caption}\n\n{each.markdown()}" for each in found if each and each.body]
    commands = [f"    {repeat_command(run)}\n" for group in groups for run in group.runs]
    return "\n".join([*parts, "Each run again:\n", "".join(commands)])


REPORTS: dict[str, Callable[[Sequence[Finished]], str | bytes]] = {
    "html": html_report,
    "md": markdown_report,
    "latex": lambda groups: tables.results(groups).latex(notes(groups)),
    "png": lambda groups: png(overview(groups)),
    "csv": to_csv,
}


def study_notes(groups: Sequence[Group[Run]]) -> list[str]:
    """What a reader of a sweep's tables must know beside their captions."""
    return gaps(groups, shown_figures(groups))


def markdown_study(groups: Sequence[Group[Run]]) -> str:
    """Tables of the figures, of the paired differences and of how classes keep apart."""
    more = [table for table in (tables.paired(groups), tables.separability(groups)) if table]
    parts = [tables.study(groups).markdown(), *(f"{note}\n" for note in study_notes(groups))]
    return "\n".join([*parts, *(f"{table.caption}\n\n{table.markdown()}" for table in more)])


def report_sweep(tasks: Sequence[Task], sweep: Path, outs: Sequence[Path]) -> None:
    """Print the table over seeds, and write it in the form that each file's ending says.

    Raises:
        InputError: no run is done, a result does not fit, or a file cannot be written.
    """
    forms: dict[str, Callable[[Sequence[Group[Run]]], str | bytes]] = {
        ".csv": to_csv,
        ".md": markdown_study,
        ".json": to_json,
        ".png": lambda groups: png([study_picture(groups)]),
        ".html": lambda groups: html_study(groups, f"Sweep {sweep.stem}", study_notes(groups)),
    }
    for out in outs:
        if out.suffix not in forms:
            raise InputError(f"--out {out}: must end in {', '.join(forms)}")
    groups = collect(tasks)
    if not any(group.runs for group in groups):
        raise not_begun(sweep)
    for table in (tables.study(groups), tables.paired(groups)):
        if table:
            _print(table, f"{sweep.stem}: " if table.caption != tables.PAIRED_NOTE else "")
    for line in [*study_notes(groups), *chosen_points(groups)]:
        print(line)
    for out in outs:
        atomic_write(out, forms[out.suffix](groups))
        print(f"{out}: {len(groups)} combination(s)")


def _print(table: Table, named: str) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    shown = RichTable(title=f"{named}{table.caption}")
    filled = [n for n, _ in enumerate(table.head) if any(row[n] for row in table.body)]
    for number in filled:
        shown.add_column(table.head[number], overflow="fold", no_wrap=number > 2)
    for row in table.body:
        shown.add_row(*(row[number] for number in filled))
    console = Console()
    console.width = max(console.width, LEAST_WIDTH)
    console.print(shown)
