"""Methods by problems on one page, from what `gzsl_dist.sweep collect --out FILE.json` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gzsl_dist.errors import InputError
from gzsl_dist.results.groups import FIGURES, Group, Run, from_json, gaps, telling, with_rivals
from gzsl_dist.results.picture import COLORS, intervals, png
from gzsl_dist.results.table import Table
from gzsl_dist.results.tables import figure_cells

COMPARED = ("AUSUC", "T1", "H")
FOUND = ({*FIGURES}, {"U", "T1"}, {"S"}, set[str]())
"""What a run may have: all figures, or those of unseen or of seen test rows alone, or none."""
HEAD = """# Leaderboard

Generalized zero-shot learning on test rows: means over seeds in percent, and half the width of
their 95 % interval (Student's t). Nothing was chosen on test rows ([protocol.md](protocol.md)), but
for the column **H, optimistic**: uncalibrated, of the best epoch on test rows, which is what papers
print, and no result. Made by

    {command}
"""
NOTE = """
*First row less this*: paired differences over the seeds that both have, first row less this one, in
points, with half the width of their 95 % interval (paired t); * where it leaves out zero. Not
corrected for their number. *Seconds* are those of a run's last start. A method that several studies
have is reported as the first of them has it.
"""


Entry = tuple[str, Group[Run]]
"""Name of the sweep file, without its ending; a method on a problem."""


def read_entries(files: Sequence[Path]) -> list[Entry]:
    """All entries with runs, in the order of the files; of a method, those of its first file.

    Raises:
        InputError: a file cannot be read, is something else, or is named twice.
    """
    entries: list[Entry] = []
    for file in files:
        if files.count(file) > 1:
            raise InputError(f"{file}: named twice; name each file once")
        taken = {(group.data, group.name) for _, group in entries}
        here = set()
        try:
            groups = from_json(file.read_text(encoding="utf-8"))
            for group in groups:
                figures = [run.figures for run in group.runs]
                if group.searches or any({*FIGURES} & {*run} not in FOUND for run in figures):
                    raise ValueError("a run without U, S, H, T1 and AUSUC: a search, not a study")
                named = replace(group, called=_name(group, groups))
                if (named.data, named.name) in here:
                    raise ValueError(f"{named.name} on {named.data} is there twice")
                here.add((named.data, named.name))
                if named.runs and (named.data, named.name) not in taken:
                    entries.append((file.stem, named))
        except OSError as error:
            raise InputError(
                f"{file}: cannot be read ({error.strerror}); give files that "
                "gzsl_dist.sweep collect --out FILE.json wrote"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{file}: not what gzsl_dist.sweep collect --out FILE.json writes ({error}); "
                "make it again"
            ) from None
    if not entries:
        raise InputError(
            f"{', '.join(map(str, files))}: no run is in them; give files with finished runs"
        )
    return entries


def _name(group: Group[Run], groups: Sequence[Group[Run]]) -> str:
    """The method, and those of its settings in which its points on a problem differ."""
    rivals = [
        dict(other.settings)
        for other in groups
        if (other.method, other.data) == (group.method, group.data)
    ]
    told = telling(dict(group.settings), rivals).items()
    named = [f"{name} {value}" for name, value in told if "calibration_factor" not in name]
    return ", ".join([group.method, *named])


def to_page(entries: Sequence[Entry], command: str) -> str:
    """Markdown: AUSUC of all methods on all problems, then a table a problem."""
    groups = [group for _, group in entries]
    problems = list(dict.fromkeys(group.data for group in groups))
    found = {(group.data, group.name): figure_cells(group, ["AUSUC"]) for group in groups}
    body = [
        [f"`{name}`", *(cell for data in problems for cell in found.get((data, name), [""]))]
        for name in dict.fromkeys(group.name for group in groups)
    ]
    summary = Table("", ["AUSUC", *problems], body)
    parts = [HEAD.format(command=command), "\n", summary.markdown(), NOTE]
    parts += [f"\n{note}\n" for note in gaps(groups, FIGURES)]
    for first, others in with_rivals(groups):
        parts.append(f"\n## {first.data}\n\n{_problem(first, others).markdown()}\n")
        here = [(sweep, group.name) for sweep, group in entries if group.data == first.data]
        for file in dict.fromkeys(sweep for sweep, _ in here):
            rows = "; ".join(name for sweep, name in here if sweep == file)
            line = f"python -m gzsl_dist.sweep run configs/studies/{file}.yaml"
            parts.append(f"    {line}  # {rows}\n")
    return "".join(parts)


def _problem(first: Group[Run], others: Sequence[Group[Run]]) -> Table:
    body = []
    for group in (first, *others):
        seconds = group.estimate("seconds")
        ahead = [None if group is first else first.less(group, name) for name in COMPARED]
        cells = figure_cells(group, (*FIGURES, "raw_H", "oracle_H"))
        cells += [f"{seconds.mean:.0f}" if seconds else "", *(a.lead if a else "" for a in ahead)]
        body.append([f"`{group.name}`", str(len(group.seeds)), *cells])
    head = ["method", "seeds", *FIGURES, "uncalibrated H", "H, optimistic", "seconds"]
    return Table("", [*head, *(f"{name}, first row less this" for name in COMPARED)], body)


def to_picture(entries: Sequence[Entry]) -> bytes:
    """PNG: AUSUC and T1 of every method with their intervals, a column a problem."""
    groups = [group for _, group in entries]
    methods = list(dict.fromkeys(group.name for group in groups))
    panels = {
        first.data: [
            (methods.index(group.name), above, color, group.estimate(name))
            for group in (first, *others)
            for name, above, color in (("AUSUC", 0.12, COLORS[0]), ("T1", -0.12, COLORS[1]))
        ]
        for first, others in with_rivals(groups)
    }
    words = "AUSUC (blue, above) and T1 (orange) with their 95 % intervals over seeds"
    return png([intervals(methods, panels, words, 2.6)])
