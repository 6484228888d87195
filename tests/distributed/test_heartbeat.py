"""Processes wait for one that works alone, whatever the time-out, and not for one that is gone."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..forked import Forked
from ..integration.commands import PATIENCE, run_apart, start_job

TIMEOUT_S = 4
PROGRAM = Path(__file__).with_name("waiting.py")
CASES = ("the first works", "the other works", "stops")
Ends = dict[str, list[subprocess.CompletedProcess[str]]]


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ends]:
    """Two processes of each case: all at once, as they sleep most of the time."""
    folder = tmp_path_factory.mktemp("job")
    jobs: dict[str, list[Forked]] = {}
    try:
        for case in CASES:
            jobs[case] = start_job([folder] * 2, [PROGRAM, case, TIMEOUT_S])
        yield {case: [process.end(PATIENCE) for process in both] for case, both in jobs.items()}
    finally:
        for both in jobs.values():
            for process in both:
                process.kill()


@pytest.mark.parametrize("case", CASES[:2])
def test_work_of_one_process_may_outlast_the_time_out(case: str, ends: Ends) -> None:
    both = ends[case]
    assert [(done.returncode, done.stdout) for done in both] == [(0, "done\n")] * 2, both


def test_a_stopped_process_is_not_waited_for(ends: Ends) -> None:
    both = ends["stops"]
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
