"""What all commands share: one-line errors on stderr and exit codes."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from gzsl_dist.distributed.launch_environment import is_one_of_several, is_reporting_process
from gzsl_dist.errors import (
    GzslError,
    InputError,
    InterruptedRunError,
    OtherProcessError,
    PreemptedError,
    system_error,
)
from gzsl_dist.files import atomic_write

OUTCOME_VARIABLE = "GZSL_OUTCOME_FILE"
"""Where a job's body wants to be told the exit code and its reason; see `_report_outcome`."""

TORCHRUN_VARIABLE = "TORCHELASTIC_ERROR_FILE"
"""Where torchrun looks for what the box says that it closes a failed job with."""

COMPLETION_VARIABLE = "_ARGCOMPLETE"
"""Set by a shell that asks for completions (docs/commands.md), to the words before the options."""

PIPE_CLOSED = 141
"""Exit code where a reader such as ``head`` has what it wants: 128 and SIGPIPE, as of a shell."""

SILENT_SECONDS = 5.0
"""How long a process that leaves the telling to another stays: launchers end all when one ends."""


class CommandParser(argparse.ArgumentParser):
    """A parser that reports an error in one line, with exit code 2, and guesses no abbreviations.

    It takes hyphens and underscores in the names of options for the same.
    """

    _completing = False

    def __init__(self, *, prog: str, description: str | None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """As argparse's; where a shell asks for completions, print them and exit."""
        if COMPLETION_VARIABLE in os.environ and not self._completing:
            import argcomplete

            CommandParser._completing = True  # it calls this method again
            argcomplete.autocomplete(self)
        given = sys.argv[1:] if args is None else args
        return super().parse_known_args([self._spelled(text) for text in given], namespace)

    def _spelled(self, argument: str) -> str:
        """An option as it is known, where it is given with - for _ or the other way round."""
        name, equals, value = argument.partition("=")
        known = self._option_string_actions  # private: argparse has no other list of its options
        if argument.startswith("--") and name not in known:
            body = name[2:]
            for spelled in (f"--{body.replace('-', '_')}", f"--{body.replace('_', '-')}"):
                if spelled in known:
                    return f"{spelled}{equals}{value}"
        return argument

    def error(self, message: str) -> NoReturn:
        """Raise `InputError` instead of printing the usage."""
        raise InputError(f"{message}; {self.prog} --help lists the options")


def add_run_argument(parser: argparse.ArgumentParser, what: str = "run directory") -> None:
    """Give a parser ``--run``.

    torchrun takes --run for an abbreviation of its own --run-path, even after the module's name.
    """
    parser.add_argument(
        "--run", "--run.dir", required=True, type=Path, help=f"{what}; --run.dir for torchrun"
    )


def positive_integer(text: str) -> int:
    """An option's value of 1 or more."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value


def whole_number(text: str) -> int:
    """An option's value of 0 or more, as seeds are."""
    if not text.isdecimal() or int(text) >= 1 << 63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def tell(message: str, *, prefix: str = "error: ") -> None:
    """Print an error in one line."""
    print(f"{prefix}{' '.join(message.split())}", file=sys.stderr)


def _report_outcome(error: GzslError) -> None:
    """Write exit code and reason, one line each, for a launcher whose exit status is not ours.

    torchrun ends with 1 whatever its workers end with, and starts them again where it may.
    """
    text = " ".join(str(error).split())
    if box := os.environ.get(TORCHRUN_VARIABLE):
        message = {"message": text, "extraInfo": {"timestamp": str(int(time.time()))}}
        with suppress(OSError):
            Path(box).write_text(json.dumps({"message": message}), encoding="utf-8")
    path = os.environ.get(OUTCOME_VARIABLE)
    if not path:
        return
    try:
        atomic_write(Path(path), f"{error.exit_code}\n{text}\n")
    except InputError as failure:
        tell(str(failure))


def run_command(main: Callable[[list[str]], int], arguments: list[str]) -> NoReturn:
    """Run a command and exit with its code; failures are told once for the whole job."""
    silent = False
    try:
        code = main(arguments)
        if (path := os.environ.get(OUTCOME_VARIABLE)) and is_reporting_process():
            with suppress(OSError):  # of an attempt that failed, before torchrun started this one
                Path(path).unlink(missing_ok=True)
    except OtherProcessError as error:
        code, silent = error.exit_code, True
    except GzslError as error:
        silent = not (error.speaks or is_reporting_process())
        if not silent:
            tell(str(error), prefix="error: " if error.is_failure else "")
            _report_outcome(error)
        code = error.exit_code
        if isinstance(error, PreemptedError) and os.environ.get(OUTCOME_VARIABLE):
            code = 0  # told by the file: torchrun shall neither restart nor print a traceback
    except SystemExit as end:  # of --help
        code = end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:
        code = PIPE_CLOSED
    except OSError as error:  # a disk that is full, a folder without permission
        failure = system_error(error)
        tell(str(failure))
        _report_outcome(failure)
        code = failure.exit_code
    except KeyboardInterrupt:
        if is_reporting_process():
            tell("interrupted", prefix="")
        code = InterruptedRunError.exit_code
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = PIPE_CLOSED
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # flushed again at exit
    sys.stderr.flush()
    if silent:
        time.sleep(SILENT_SECONDS)
    if is_one_of_several():
        # Threads of gloo that outlive the process group can abort the interpreter's shutdown
        # (pytorch issue 190489), after all is done: leave without it.
        os._exit(code)
    sys.exit(code)
