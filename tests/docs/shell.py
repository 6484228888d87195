"""Shell blocks of the docs: every command is run, or at least read by the real parser.

bash itself splits a block into commands, with nothing on its PATH. Of these,

- what is cheap (`RUN`) runs, in this process;
- a training, a sweep, a verification or a benchmark is read by its own parser, and its settings and
  files are checked, but it does not start;
- launchers (torchrun by its own parser, srun, sbatch, the files in launch/ and cluster/) are taken
  off, and what they start is checked.
"""

from __future__ import annotations

import argparse
import importlib
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import gzsl_dist.distributed.processes

ROOT = Path(__file__).parents[2]
RUN = ("prepare", "predict", "synthesize", "export", "report", "bank")
SLURM_OPTIONS = re.compile(r"-N|--(gpus-per-node|array|ntasks)(=\S+)?")
STARTERS = {
    "launch/torchrun.sh": "train",
    "launch/deepspeed.sh": "train",
    "cluster/train.sbatch": "train",
    "cluster/train_digits.sbatch": "train",
    "cluster/train_cub.sbatch": "train",
    "cluster/sweep.sbatch": "sweep",
    "cluster/verify.sbatch": "verify",
    "cluster/synthesize.sbatch": "synthesize",
    "cluster/evaluate.sbatch": "evaluate",
    "cluster/extract.sbatch": "extract",
    "cluster/search.sbatch": "search",
}
"""Files that pass their arguments to a command of the package."""

SPLIT = """
command_not_found_handle() { printf '%s\\0' "$@" $'\\n'; }
for file in ${files}; do eval "function $file { command_not_found_handle $file \\"\\$@\\"; }"; done
"""


class UnknownCommandError(AssertionError):
    """A command of the docs that no test runs; the block needs a mark with the reason."""


class Parsed(BaseException):
    """In place of what a command does after it has read its arguments."""


def commands_of(text: str) -> list[list[str]]:
    """The commands of a block, as bash sees them in the current folder."""
    done = subprocess.run(
        ["/bin/bash", "-c", f"{SPLIT}\n{text}"],
        capture_output=True, text=True, timeout=20, check=False,
        env={"PATH": "/nowhere", "files": " ".join(STARTERS)},
    )  # fmt: skip
    assert not done.stderr, done.stderr
    commands, words = [], list[str]()
    for word in done.stdout.split("\0")[:-1]:
        if word == "\n":
            commands.append(words)
            words = []
        else:
            words.append(word)
    if not commands:
        raise UnknownCommandError(f"no command in: {text}")
    return commands


def check(words: list[str]) -> None:
    """Run a command in the current folder, or let its parser read it."""
    program, rest = words[0], words[1:]
    if program == "python" and rest[0] == "-m" and rest[1].startswith("gzsl_dist."):
        _package(rest[1].removeprefix("gzsl_dist."), rest[2:])
    elif program == "python" and (ROOT / rest[0]).is_file():
        _script(ROOT / rest[0], rest[1:])
    elif program == "torchrun":
        from torch.distributed.run import get_args_parser

        try:
            options = get_args_parser().parse_args(rest)
        except SystemExit:
            raise AssertionError(f"torchrun refuses: {words}") from None
        assert options.module, f"without -m: {words}"
        check(["python", "-m", options.training_script, *options.training_script_args])
    elif program in ("srun", "sbatch"):
        while rest and rest[0].startswith("-"):
            option = rest.pop(0)
            if not SLURM_OPTIONS.fullmatch(option):
                raise UnknownCommandError(f"{program} {option}")
            if "=" not in option:
                rest.pop(0)
        check(rest)
    elif program == "bash":
        check([*rest])
    elif program in STARTERS:
        assert (ROOT / program).is_file(), program
        module = STARTERS[program]
        rest = [word for word in rest if (module, word) != ("sweep", "--dry-run")]
        _package(module, ["plan", *rest] if module == "sweep" else rest)
    else:
        raise UnknownCommandError(" ".join(words))


def _package(module: str, arguments: list[str]) -> None:
    main = importlib.import_module(
        f"gzsl_dist.{module}.__main__" if module == "bank" else f"gzsl_dist.{module}"
    ).main
    if module in RUN:
        assert main(arguments) == 0
    elif module in ("train", "search"):
        assert main([*arguments, "--print-config"]) == 0
    elif module == "verify":
        with mock.patch.object(gzsl_dist.distributed.processes, "start_processes", _parsed):
            _expect_parsed(main, arguments)
    else:  # evaluate, simulate, sweep
        with _stopping():
            _expect_parsed(main, arguments)
        if module == "sweep":
            assert main(["plan", arguments[1]]) == 0


def _script(path: Path, arguments: list[str]) -> None:
    with _stopping(), mock.patch("sys.argv", [str(path), *arguments]):
        _expect_parsed(lambda file: runpy.run_path(file, run_name="__main__"), str(path))


def _parsed(*arguments: Any, **options: Any) -> NoReturn:
    raise Parsed


@contextmanager
def _stopping() -> Iterator[None]:
    """Every parser ends its command once it has read the arguments."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, *arguments: Any) -> NoReturn:
        parse(self, *arguments)
        raise Parsed

    paths = [str(ROOT / "benchmarks"), str(ROOT)]
    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse_and_stop),
        mock.patch("sys.path", [*paths, *sys.path]),
    ):
        yield


def _expect_parsed(main: Any, arguments: Any) -> None:
    try:
        main(arguments)
    except Parsed:
        return
    except SystemExit as end:
        raise AssertionError(f"{arguments}: refused with {end.code}") from None
    raise AssertionError(f"{arguments}: ran")
