"""Methods by problems on one page: ``python -m gzsl_dist.leaderboard``.

From what ``gzsl_dist.sweep collect SWEEP.yaml --out FILE.json`` wrote, each FILE named as its
sweep.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from gzsl_dist.command import CommandParser, run_command


def main(arguments: list[str]) -> int:
    """Write the page, and its picture where it is asked for."""
    parser = CommandParser(prog="python -m gzsl_dist.leaderboard", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.json")
    parser.add_argument("--out", required=True, type=Path, metavar="PAGE.md", help="page to write")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="picture to write")
    options = parser.parse_args(arguments)

    from gzsl_dist.errors import InputError
    from gzsl_dist.files import atomic_write
    from gzsl_dist.results.leaderboard import read_entries, to_page, to_picture

    for path, ending, name in ((options.out, ".md", "out"), (options.picture, ".png", "picture")):
        if path is not None and path.suffix != ending:
            raise InputError(f"--{name} {path}: must end in {ending}")
    entries = read_entries(options.files)
    command = shlex.join(["python", "-m", "gzsl_dist.leaderboard", *arguments])
    atomic_write(options.out, to_page(entries, command))
    if options.picture is not None:
        atomic_write(options.picture, to_picture(entries))
    print(f"{options.out}: {len(entries)} entries")
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
