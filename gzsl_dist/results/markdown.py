"""A report as Markdown text: the tables without pictures, for a paper's appendix."""

from __future__ import annotations

from collections.abc import Sequence

from gzsl_dist.results import tables
from gzsl_dist.results.repeat import repeat_command
from gzsl_dist.results.runs import Group, notes
from gzsl_dist.results.table import Table


def markdown_report(groups: Sequence[Group]) -> str:
    """All tables, what to know about them, and the commands that repeat the runs."""
    found = [
        tables.results(groups),
        tables.every_run(groups),
        *(tables.best_and_worst(groups, side) for side in ("unseen", "seen")),
        tables.most_confused(groups),
        tables.separation(groups),
        tables.settings(groups),
        tables.versions(groups),
    ]
    parts = [f"> {note}" for note in notes(groups)]
    parts += [markdown_table(table) for table in found if table is not None and table.rows]
    commands = [f"    {repeat_command(run)}" for group in groups for run in group.runs]
    parts.append("Each run again:\n\n" + "\n".join(commands))
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """The caption and the table; numbers to the right."""
    marks = ["---" if n < table.words else "---:" for n in range(len(table.head))]
    lines = [table.head, marks, *table.rows]
    text = "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
    return f"{table.caption}\n\n{text}"
