"""Report finished runs side by side: ``python -m gzsl_dist.report``."""

from __future__ import annotations

import sys
from pathlib import Path

from gzsl_dist.command import CommandParser, run_command


def main(arguments: list[str]) -> int:
    """Report as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.report", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directory")
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        help="to write: .html a page with figures, .md a table, .png the figures",
    )
    options = parser.parse_args(arguments)

    from gzsl_dist.errors import InputError
    from gzsl_dist.evaluation.result import Result
    from gzsl_dist.monitoring.report import html_report, markdown_report, report_figure

    makers = {
        ".html": lambda runs, results: html_report(runs, results).encode(),
        ".md": lambda runs, results: markdown_report(runs, results).encode(),
        ".png": report_figure,
    }
    if options.out.suffix not in makers:
        raise InputError(f"--out {options.out}: must end in .html, .md or .png")
    results = [Result.read(run / "result.json") for run in options.runs]
    content = makers[options.out.suffix](options.runs, results)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_bytes(content)
    except OSError as error:
        raise InputError(f"--out {options.out}: cannot be written ({error.strerror})") from None
    print(f"{options.out}: {len(results)} run(s)")
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
