"""Report finished runs side by side: ``python -m gzsl_dist.report``.

Runs that differ in their seed only are one line, with the mean and its 95 % interval.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gzsl_dist.command import CommandParser, run_command

if TYPE_CHECKING:
    from gzsl_dist.results.runs import Group

ENDINGS = {".html": "html", ".md": "md", ".tex": "latex", ".png": "png"}


def main(arguments: list[str]) -> int:
    """Report as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.report", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directory")
    parser.add_argument("--out", required=True, type=Path, help="file to write")
    parser.add_argument(
        "--format",
        choices=sorted(ENDINGS.values()),
        help="html: one page with pictures inside; md: its tables, for an appendix; latex: the "
        "table of results; png: the curves; default by the ending of --out: "
        f"{', '.join(ENDINGS)}",
    )
    options = parser.parse_args(arguments)

    from gzsl_dist.errors import InputError
    from gzsl_dist.files import atomic_write

    form = options.format or ENDINGS.get(options.out.suffix)
    if form is None:
        raise InputError(f"--out {options.out}: must end in {', '.join(ENDINGS)}, or give --format")
    from gzsl_dist.results.runs import group_runs, notes, read_runs

    groups = group_runs(read_runs(options.runs))
    atomic_write(options.out, _maker(form)(groups))
    print(f"{options.out}: {len(options.runs)} run(s)")
    for note in notes(groups):
        print(f"note: {note}")
    return 0


def _maker(form: str) -> Callable[[Sequence[Group]], str | bytes]:
    if form == "html":
        from gzsl_dist.results.page import html_report

        return html_report
    if form == "md":
        from gzsl_dist.results.markdown import markdown_report

        return markdown_report
    if form == "latex":
        from gzsl_dist.results.latex import latex_report

        return latex_report
    from gzsl_dist.results.curves import overview

    return overview


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
