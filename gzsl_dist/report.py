"""Report finished runs side by side: ``python -m gzsl_dist.report``.

Runs that differ in their seed only are one line, with the mean and its 95 % interval.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gzsl_dist.command import CommandParser, run_command

ENDINGS = {".html": "html", ".md": "md", ".tex": "latex", ".png": "png", ".csv": "csv"}


def main(arguments: list[str]) -> int:
    """Report as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.report", description=__doc__)
    parser.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN",
        help="run directory, or a SWEEP.yaml for its runs that are done",
    )  # fmt: skip
    parser.add_argument(
        "--run", "--run.dir", action="append", default=[], type=Path, help="the same, one each"
    )
    parser.add_argument("--out", required=True, type=Path, help="file to write")
    parser.add_argument(
        "--format",
        choices=sorted(ENDINGS.values()),
        help="html: one page with pictures inside; md: its tables, for an appendix; latex: the "
        "table of results; png: the curves; csv: a line a run, for pandas; default by the ending "
        f"of --out: {', '.join(ENDINGS)}",
    )
    options = parser.parse_args(arguments)

    from gzsl_dist.errors import InputError
    from gzsl_dist.files import atomic_write

    form = options.format or ENDINGS.get(options.out.suffix)
    if form is None:
        raise InputError(f"--out {options.out}: must end in {', '.join(ENDINGS)}, or give --format")
    from gzsl_dist.results.collect import finished_tasks
    from gzsl_dist.results.forms import REPORTS
    from gzsl_dist.results.runs import group_runs, notes, read_runs

    methods: dict[Path, str] = {}
    directories: list[Path] = []
    if not options.runs and not options.run:
        raise InputError("no run given; name run directories: report RUN [RUN ...] --out FILE")
    for path in [*options.runs, *options.run]:
        if path.suffix in (".yaml", ".yml"):
            done, missing = finished_tasks(path)
            methods |= done
            directories += done
            if missing:
                print(f"note: {path}: {missing} of {missing + len(done)} tasks are not done")
        else:
            directories.append(path)
    groups = group_runs(read_runs(directories, methods))
    atomic_write(options.out, REPORTS[form](groups))
    print(f"{options.out}: {len(directories)} run(s)")
    for note in notes(groups):
        print(f"note: {note}")
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
