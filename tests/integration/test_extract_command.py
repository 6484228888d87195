"""extract on several processes, and after a kill: the same file, bit for bit."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from gzsl_dist.data.store import read_dataset
from tests.unit.extraction.small import write_problem

from .commands import ROOT, command, environment, run


def test_processes_workers_and_a_kill_change_no_bit(tmp_path: Path) -> None:
    arguments = write_problem(tmp_path)
    found = []
    for processes, workers in ((1, 0), (2, 1)):
        out = tmp_path / f"{processes}.h5"
        given = [*arguments, "--workers", workers, "--out", out]
        done = run("extract", *given, processes=processes)
        assert done.returncode == 0, done.stderr
        found.append(read_dataset(out).fingerprint)
    assert "image 35/35" in done.stdout
    out = tmp_path / "killed.h5"
    given = [*arguments, "--image-encoder", "python:tests.unit.extraction.small:slow", "--out", out]
    started = subprocess.Popen(
        command("extract", *given), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL
    )
    journal = out.with_name("killed.h5.extracting") / "images.0.jsonl"
    deadline = time.monotonic() + 200
    while not (journal.exists() and journal.read_text().count("{") >= 3):
        assert time.monotonic() < deadline
        assert started.poll() is None
        time.sleep(0.02)
    started.send_signal(signal.SIGKILL)
    started.wait()
    before = journal.stat().st_size
    done = run("extract", *given, processes=1)
    assert done.returncode == 0, done.stderr
    assert before
    found.append(read_dataset(out).fingerprint)
    assert len(set(found)) == 1


def test_stopped_by_signals_it_goes_on(tmp_path: Path) -> None:
    encoder = ["--image-encoder", "python:tests.unit.extraction.small:slow"]
    arguments = [*write_problem(tmp_path), *encoder, "--name", "animals"]
    whole, out = tmp_path / "whole.h5", tmp_path / "stopped.h5"
    assert run("extract", *arguments, "--out", whole, processes=1).returncode == 0
    slow = [*arguments, "--out", out]
    journal, before = out.with_name("stopped.h5.extracting") / "images.0.jsonl", 0
    for number, code, line in (
        (signal.SIGTERM, 75, "encode images: stopped by a signal; the same command resumes"),
        (signal.SIGINT, 130, "encode images: interrupted; the same command resumes"),
    ):
        started = subprocess.Popen(
            command("extract", *slow), cwd=ROOT, env=environment(), text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in a terminal
        )  # fmt: skip
        deadline = time.monotonic() + 200
        while not (journal.exists() and journal.read_text().count("{") > before):
            assert time.monotonic() < deadline
            assert started.poll() is None
            time.sleep(0.02)
        started.send_signal(number)
        errors = started.communicate(timeout=200)[1]
        assert (started.returncode, errors) == (code, f"{line}\n")
        assert not out.exists()
        before = journal.read_text().count("{")
    done = run("extract", *slow, processes=1)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == whole.read_bytes()
