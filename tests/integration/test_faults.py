"""Runs that are killed, or started twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from gzsl_dist.monitoring.logbook import read_metrics

from .commands import SMALL, command, environment, error_line, run

ARGUMENTS = (*SMALL, "--evaluation.calibration", "none", "--checkpoint.every", "2")


def start(*arguments: object, processes: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("train", *ARGUMENTS, *arguments, processes=processes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def weights(directory: Path) -> dict[str, np.ndarray]:
    newest = max((directory / "checkpoints").glob("step-*"))
    return load_file(newest / "networks.safetensors")


def workers(launcher: subprocess.Popen[str]) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(launcher.pid)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def wait_for_a_step(directory: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not read_metrics(directory / "metrics.jsonl"):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_killed_at_random_moments_it_ends_at_the_same_weights(tmp_path: Path) -> None:
    """Five kills -9 of one of two workers; what is left ends soon, and a new start goes on."""
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    steps = ("--train.steps", 400, "--log.every", 2)
    done = run("train", *ARGUMENTS, *steps, "--run.dir", undisturbed, processes=2)
    assert done.returncode == 0, done.stderr
    moments, killed, last = random.Random(0), 0, 0
    for _ in range(5):
        process = start(*steps, "--run.dir", disturbed, processes=2)
        deadline = time.monotonic() + 60
        while last_step(disturbed) <= last and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5))
        last = last_step(disturbed)
        pids = workers(process)
        if len(pids) == 2:
            os.kill(moments.choice(pids), signal.SIGKILL)
            killed += 1
        ended = time.monotonic()
        process.communicate(timeout=60)
        assert time.monotonic() - ended < 60
    assert killed >= 3, "the runs were too short to be killed"
    done = run("train", *ARGUMENTS, *steps, "--run.dir", disturbed, processes=2)
    assert done.returncode == 0, done.stderr
    expected, found = weights(undisturbed), weights(disturbed)
    assert all((found[name] == expected[name]).all() for name in expected)
    logged = [line["step"] for line in read_metrics(disturbed / "metrics.jsonl")]
    assert logged == list(range(2, 401, 2))


def last_step(directory: Path) -> int:
    lines = read_metrics(directory / "metrics.jsonl")
    return lines[-1]["step"] if lines else 0


def test_torchrun_restarts_a_killed_job_by_itself(tmp_path: Path) -> None:
    arguments = command(
        "train", *ARGUMENTS, "--train.steps", 400, "--log.every", 2, "--run.dir", tmp_path / "r",
        processes=2,
    )  # fmt: skip
    arguments.insert(arguments.index("--standalone"), "--max-restarts=2")
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "r" / "checkpoints").glob("step-*")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(workers(process)[0], signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert "resuming after step" in stdout
    assert (tmp_path / "r" / "result.json").exists()


def test_a_second_start_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    first = start("--train.steps", 3000, "--run.dir", tmp_path / "r")
    try:
        wait_for_a_step(tmp_path / "r", first)
        second = run("train", *ARGUMENTS, "--train.steps", 3000, "--run.dir", tmp_path / "r")
        assert "in use by another job" in error_line(second)
    finally:
        first.kill()
        first.communicate()
    # the lock died with its process
    third = start("--train.steps", 3000, "--run.dir", tmp_path / "r")
    time.sleep(6)
    assert third.poll() is None
    third.send_signal(signal.SIGUSR1)
    _, stderr = third.communicate(timeout=30)
    assert third.returncode == 75, stderr
