"""All commands by one name: ``gzsl COMMAND ...`` or ``python -m gzsl_dist COMMAND ...``.

``gzsl train`` is ``python -m gzsl_dist.train``, and so on; launchers such as torchrun take the
latter. ``eval "$(register-python-argcomplete gzsl)"`` lets a shell complete commands and options.
"""

from __future__ import annotations

import os
import runpy
import sys

from gzsl_dist import __version__
from gzsl_dist.command import COMPLETION_VARIABLE, CommandParser, run_command
from gzsl_dist.errors import InputError

COMMANDS = {
    "train": "select, train and measure one configuration",
    "prepare": "make a data file of features and classes",
    "extract": "make a data file of images and words",
    "simulate": "make data of known difficulty",
    "synthesize": "write a bank of synthetic features",
    "bank": "inspect, verify, repair or merge banks",
    "evaluate": "measure a trained run on test rows",
    "predict": "classify features, also by new classes",
    "export": "one file of a run's model",
    "report": "tables and pictures of runs",
    "sweep": "many runs from one file",
    "search": "find the settings that suit your data",
    "leaderboard": "methods by problems on one page",
    "verify": "prove on this machine that training is exact",
    "doctor": "list what is installed here, and what is missing",
    "job": "check what a cluster job is about to run",
}

ADD_CLASSES = "add-classes"
"""``export --add-classes`` by a name that one looks for, with ``--classes``."""


def main(arguments: list[str]) -> int:
    """Hand the command line to the command that it names first."""
    purposes = COMMANDS | {ADD_CLASSES: "export a model that knows new classes"}
    listed = "\n".join(f"  {name:<12} {purpose}" for name, purpose in purposes.items())
    parser = CommandParser(
        prog="gzsl", description=f"{(__doc__ or '').splitlines()[0]}\n\ncommands:\n{listed}"
    )
    parser.usage = "%(prog)s COMMAND [...]; %(prog)s COMMAND --help says more"
    parser.add_argument("--version", action="version", version=f"gzsl_dist {__version__}")
    parser.add_argument("command", choices=list(purposes), metavar="COMMAND", nargs="?")
    # A shell that completes gives the line so far instead of arguments.
    words = f"{os.environ.get('COMP_LINE', '')}|".split()[1:]
    if COMPLETION_VARIABLE in os.environ and len(words) > 1 and words[0] in COMMANDS:
        os.environ[COMPLETION_VARIABLE] = "2"  # words before the options
        name = words[0]
    else:
        name = parser.parse_args(arguments[:1]).command
    if name is None:
        parser.print_help()
        return 0
    sys.argv = [f"gzsl {name}", *arguments[1:]]
    if name == ADD_CLASSES:
        name = "export"
        sys.argv[1:] = _of_export(arguments[1:])
    module = f"gzsl_dist.{name}"
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())  # as ``python -m`` does: callbacks of one's own lie there
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def _of_export(arguments: list[str]) -> list[str]:
    """The options of export that ``gzsl add-classes`` stands for."""
    options = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        options.append(f"--add-classes{equals}{value}" if name == "--classes" else argument)
    given = {option.partition("=")[0].replace("_", "-") for option in options}
    if not given & {"--add-classes", "--add-class", "--help", "-h"}:
        raise InputError("gzsl add-classes: no classes given; give --classes FILE, or --add-class")
    return options


def console_script() -> None:
    """What ``gzsl`` calls."""
    run_command(main, sys.argv[1:])


if __name__ == "__main__":
    console_script()
