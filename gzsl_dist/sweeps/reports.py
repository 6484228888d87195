"""Show and write what a sweep found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gzsl_dist.errors import InputError
from gzsl_dist.files import write_whole
from gzsl_dist.sweeps.collect import collect, table_of, to_csv, to_html, to_markdown
from gzsl_dist.sweeps.plan import Task

SUFFIXES = (".csv", ".md", ".html")


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
    head, *body = table_of(groups)
    table = Table(title=f"{sweep.stem}: mean and 95 % interval over seeds, in %")
    told = [n for n, _ in enumerate(head) if any(row[n] for row in body)]  # not an empty grid's
    for number in told:
        table.add_column(head[number], overflow="fold", no_wrap=number > 2)
    for row in body:
        table.add_row(*(row[number] for number in told))
    Console().print(table)
    for out in outs:
        if out.suffix == ".csv":
            text = to_csv(groups)
        elif out.suffix == ".md":
            text = to_markdown(groups)
        else:
            text = to_html(groups, f"Sweep {sweep.stem}")
        write_whole(out, text)
        print(f"{out}: {len(groups)} combination(s)")
