"""What a command says and returns when it fails, alone or as one of several processes."""

from __future__ import annotations

import ast
import errno
import os
import re
import sys
from pathlib import Path

import pytest

import gzsl_dist
from gzsl_dist import command
from gzsl_dist.errors import DivergedError, InputError, OtherProcessError, PreemptedError


class Ended(BaseException):
    """In place of the process's end."""


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a command slept, one of two processes that end by `Ended`."""
    slept: list[float] = []
    for name in ("RANK", "WORLD_SIZE", command.OUTCOME_VARIABLE):
        monkeypatch.delenv(name, raising=False)

    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(command.time, "sleep", slept.append)
    monkeypatch.setattr(os, "_exit", end)
    return slept


def failing(error: Exception) -> tuple[int, int]:
    """How `run_command` ends: through `sys.exit` (0) or `os._exit` (1), and with which code."""

    def main(arguments: list[str]) -> int:
        raise error

    try:
        command.run_command(main, [])
    except SystemExit as end:
        return 0, int(str(end.code))
    except Ended as end:
        return 1, int(end.args[0])


def test_alone_it_tells_and_ends(waits: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(InputError("bad\n input")) == (0, 2)
    assert capsys.readouterr().err == "error: bad input\n"
    assert waits == []


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("bad"), 2), (OtherProcessError("other"), 2), (DivergedError("nan"), 3)],
)
def test_who_is_silent_lets_the_one_that_tells_end_first(
    error: Exception,
    code: int,
    waits: list[float],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torchrun ends all as soon as one has ended, and the first may be slower to start."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert failing(error) == (1, code)
    assert capsys.readouterr().err == ""
    assert waits == [command.SILENT_SECONDS]
    monkeypatch.setenv("RANK", "0")
    if not isinstance(error, OtherProcessError):
        assert failing(error) == (1, code)
        assert capsys.readouterr().err.count("\n") == 1
        assert waits == [command.SILENT_SECONDS], "who tells does not wait"


def test_a_failure_of_this_process_alone_is_told_by_it(
    waits: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    error = InputError("no such file")
    error.speaks = True  # as `DistributedContext.run_on_all_ranks` sets it
    assert failing(error) == (1, 2)
    assert capsys.readouterr().err == "error: no such file\n"
    assert waits == []


@pytest.mark.parametrize(("rank", "stays"), [("0", False), ("1", True)])
def test_a_success_takes_back_what_an_earlier_attempt_reported(
    waits: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rank: str, stays: bool
) -> None:
    """torchrun may start failed workers again; a job reads the file when all is over."""
    outcome = tmp_path / "outcome"
    outcome.write_text("1\nof the first attempt\n")
    monkeypatch.setenv(command.OUTCOME_VARIABLE, str(outcome))
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises((SystemExit, Ended)) as end:
        command.run_command(lambda arguments: 0, [])
    assert end.value.args[0] == 0
    assert outcome.exists() == stays


def test_a_save_at_a_signal_is_no_error(
    waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(PreemptedError("stopped by a signal")) == (0, 75)
    assert capsys.readouterr().err == "stopped by a signal\n"


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_has_gone_is_met_quietly(
    lines: int, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """As of ``| head``, while lines are printed or when the last of them are flushed."""
    reader, writer = os.pipe()
    os.close(reader)

    def main(arguments: list[str]) -> int:
        for line in range(lines):
            print(line)
        return 0

    with open(writer, "w") as pipe, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit) as end:
            command.run_command(main, [])
    assert end.value.code == 141
    assert capsys.readouterr().err == ""


def test_hyphens_and_underscores_in_options_are_the_same() -> None:
    parser = command.CommandParser(prog="x", description=None)
    parser.add_argument("--train.batch_size")
    parser.add_argument("--per-class")
    command.add_run_argument(parser)
    given = ["--train.batch-size", "3", "--per_class=4-5_6", "--run.dir", "a-b_c"]
    found = vars(parser.parse_args(given))
    assert found == {"train.batch_size": "3", "per_class": "4-5_6", "run": Path("a-b_c")}


PACKAGE = Path(gzsl_dist.__file__).parent
REMEDY = re.compile(
    r";|\b(give|use|check|name|choose|see|must|needs?|needed|install|make|save|delete|leave|drop|"
    r"add|set|python -m|did you mean|refused|pip|only|finish|put|or)\b"
)


def test_a_refusal_says_what_to_do() -> None:
    """By its words; one that ends with another message or a hint may have them there."""
    found = []
    for path in PACKAGE.glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Raise(exc=ast.Call(func=ast.Name(id="InputError"), args=[message, *_])):
                    if isinstance(message, ast.JoinedStr):
                        parts = message.values
                    elif isinstance(message, ast.Constant):
                        parts = [message]
                    else:
                        continue
                    text = "".join(str(p.value) for p in parts if isinstance(p, ast.Constant))
                    if isinstance(parts[-1], ast.Constant) and not REMEDY.search(text):
                        found.append(f"{path}:{node.lineno}: {text}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "remedy"), [(errno.EROFS, "choose another place"), (errno.ENOSPC, "make room, or")]
)
def test_what_the_system_refuses_says_what_to_do(
    code: int, remedy: str, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(OSError(code, os.strerror(code), "runs")) == (0, 2)
    assert f"error: runs: {os.strerror(code)}; {remedy}" in capsys.readouterr().err
