"""Processes wait for one that works alone, whatever the time-out, and not for one that is gone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ..integration.commands import run_apart

TIMEOUT_S = 4
PROGRAM = Path(__file__).with_name("waiting.py")


@pytest.mark.parametrize("case", ["the first works", "the other works"])
def test_work_of_one_process_may_outlast_the_time_out(case: str, tmp_path: Path) -> None:
    both = run_apart([tmp_path, tmp_path], [PROGRAM, case, TIMEOUT_S])
    assert [(done.returncode, done.stdout) for done in both] == [(0, "done\n")] * 2, both


def test_a_stopped_process_is_not_waited_for(tmp_path: Path) -> None:
    both = run_apart([tmp_path, tmp_path], [PROGRAM, "stops", TIMEOUT_S])
    assert [done.returncode for done in both] == [1, -9]
    (line,) = both[0].stderr.splitlines()
    assert line == (
        f"error: process 0: process 1 does not answer for {TIMEOUT_S} s; the same command resumes"
    )


def test_a_dead_process_is_noticed_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    both = run_apart([tmp_path, tmp_path], [PROGRAM, "dies", 100])
    assert [done.returncode for done in both] == [1, 9]
    (line,) = both[0].stderr.splitlines()
    assert "another process of the job is gone" in line
    assert time.monotonic() - started < 80
