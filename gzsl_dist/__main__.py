"""All commands by one name: ``gzsl COMMAND ...`` or ``python -m gzsl_dist COMMAND ...``.

``gzsl train`` is ``python -m gzsl_dist.train``, and so on; launchers such as torchrun take the
latter.
"""

from __future__ import annotations

import runpy
import sys

from gzsl_dist.command import CommandParser, run_command

COMMANDS = {
    "train": "select, train and measure one configuration",
    "prepare": "make a data file of MATLAB files",
    "simulate": "make data of known difficulty",
    "synthesize": "write a bank of synthetic features",
    "bank": "inspect, verify, repair or merge banks",
    "evaluate": "measure a trained run on test rows",
    "predict": "classify features, also by new classes",
    "export": "one file of a run's model",
    "report": "tables and pictures of runs",
    "sweep": "many runs from one file",
    "leaderboard": "methods by problems on one page",
    "verify": "prove on this machine that training is exact",
    "job": "check what a cluster job is about to run",
}


def main(arguments: list[str]) -> int:
    """Hand the command line to the command that it names first."""
    listed = "\n".join(f"  {name:<12} {purpose}" for name, purpose in COMMANDS.items())
    parser = CommandParser(
        prog="gzsl", description=f"{(__doc__ or '').splitlines()[0]}\n\ncommands:\n{listed}"
    )
    parser.usage = "%(prog)s COMMAND [...]; %(prog)s COMMAND --help tells more"
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND")
    name = parser.parse_args(arguments[:1]).command
    module = f"gzsl_dist.{name}"
    sys.argv = [f"gzsl {name}", *arguments[1:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def console_script() -> None:
    """What ``gzsl`` calls."""
    run_command(main, sys.argv[1:])


if __name__ == "__main__":
    console_script()
