"""What is printed while steps are done: lines in a log, a bar in a terminal."""

from __future__ import annotations

import io
import re
import sys

import pytest
import torch

from gzsl_dist.distributed.log import log_rank0
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.monitoring import progress

ALONE = DistributedContext(0, 1, torch.device("cpu"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def advance() -> None:
    with progress.StepProgress("training", 4, 0, ALONE) as shown:
        shown.advance(4, {"validation/H": 0.5})


def test_a_log_has_the_time_of_day(capsys: pytest.CaptureFixture[str]) -> None:
    log_rank0(ALONE, "one line")
    advance()
    said, line = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d one line", said)
    assert re.match(r"\d\d:\d\d:\d\d training: step 4/4, [\d.]+ steps/s, 0 s left", line)


def test_a_terminal_shows_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    log_rank0(ALONE, "one line")
    advance()
    assert terminal.getvalue().startswith("one line\n")
    assert "steps/s" in terminal.getvalue()
