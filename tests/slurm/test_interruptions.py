"""Jobs that are interrupted, on a real Slurm: they end as if they had not been."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from gzsl_dist.run.metrics import read_metrics

from .cluster import Cluster
from .conftest import User, last_line

pytestmark = pytest.mark.slurm

DIGITS = "cluster/train_digits.sbatch"
TINY = (
    "--train.steps", 12, "--train.batch_size", 32, "--log.every", 2,
    "--evaluation.calibration", "none", "--evaluation.rows_per_class", 20,
)  # fmt: skip
# Long enough to be interrupted, and never finished before: a signal comes after some steps.
LONG = (*TINY[2:], "--train.steps", 160, "--checkpoint.every", 40)


@pytest.fixture(scope="module")
def limited(slurm: Cluster, clone: Path) -> tuple[str, threading.Thread]:
    """A job of one minute whose trainers are held until Slurm warns of its end.

    Slurm looks at limits every half minute; the other tests run in the meantime. On a busy machine
    the warning may come before the first steps: then nobody need be held.
    """
    user = User(slurm, clone)
    job = user.sbatch(
        "-c", 2, "--time=1", "--signal=B:USR1@50", DIGITS, *LONG, "--run.dir", "runs/limited"
    )

    def hold() -> None:
        metrics = clone / "runs" / "limited" / "metrics.jsonl"

        def warned() -> bool:
            return "signal received" in user.log(job)

        wait_until(lambda: warned() or read_metrics(metrics), lambda: user.log(job))
        held = [] if warned() else slurm.trainers(job)
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        wait_until(warned, lambda: user.log(job))
        for pid in held:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: slurm.job(job)["Restarts"] != "0", lambda: user.log(job))
        slurm.slurm("scontrol", "update", f"JobId={job}", "TimeLimit=5")  # enough, this time

    thread = threading.Thread(target=hold)
    thread.start()
    return job, thread


@pytest.fixture(scope="module")
def undisturbed(slurm: Cluster, clone: Path, limited: object) -> Path:
    """The long run on one node, two processes, never interrupted."""
    user = User(slurm, clone)
    job = user.sbatch("-c", 2, DIGITS, *LONG, "--run.dir", "runs/undisturbed")
    assert slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    return clone / "runs" / "undisturbed"


def weights(directory: Path) -> dict[str, np.ndarray]:
    newest = max((directory / "checkpoints").glob("step-*"))
    return load_file(newest / "networks.safetensors")


def assert_same_run(directory: Path, undisturbed: Path) -> None:
    """Bit for bit the same weights, and no step logged twice or not at all."""
    expected, found = weights(undisturbed), weights(directory)
    assert all((found[name] == expected[name]).all() for name in expected)
    logged = [line["step"] for line in read_metrics(directory / "metrics.jsonl")]
    assert logged == list(range(2, 161, 2))


def wait_until(condition: Callable[[], object], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def wait_for_steps(user: User, job: str, directory: Path) -> None:
    wait_until(lambda: read_metrics(directory / "metrics.jsonl"), lambda: user.log(job))


def test_preempted_it_saves_requeues_and_goes_on(user: User, undisturbed: Path) -> None:
    directory = user.clone / "runs" / "preempted"
    job = user.sbatch("-c", 2, DIGITS, *LONG, "--run.dir", "runs/preempted")
    wait_for_steps(user, job, directory)
    user.slurm.slurm("scancel", "--batch", "--signal=USR1", job)
    wait_until(lambda: user.slurm.job(job)["Restarts"] == "1", lambda: user.log(job))
    assert json.loads((directory / "state.json").read_text())["state"] == "preempted"
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    log = user.log(job)
    assert "requeueing (0 before): stopped by a signal after step" in log
    assert "resuming after step" in log
    assert "Traceback" not in log
    assert_same_run(directory, undisturbed)


def test_an_administrator_requeues(user: User, undisturbed: Path) -> None:
    directory = user.clone / "runs" / "requeued"
    job = user.sbatch("-c", 2, DIGITS, *LONG, "--run.dir", "runs/requeued")
    wait_for_steps(user, job, directory)
    user.slurm.slurm("scontrol", "requeue", job)
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    assert user.slurm.job(job)["Restarts"] == "1"
    assert_same_run(directory, undisturbed)


def test_a_time_limit_is_survived(
    user: User, undisturbed: Path, limited: tuple[str, threading.Thread]
) -> None:
    job, thread = limited
    thread.join()
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    assert "signal received" in user.log(job)
    assert "requeueing (0 before)" in user.log(job)
    assert_same_run(user.clone / "runs" / "limited", undisturbed)


def test_a_node_dies(user: User, undisturbed: Path) -> None:
    """All of a node is killed; Slurm starts the job again on the other."""
    directory = user.clone / "runs" / "node"
    job = user.sbatch("-c", 2, DIGITS, *LONG, "--run.dir", "runs/node")
    wait_for_steps(user, job, directory)
    wait_until(lambda: list(directory.glob("checkpoints/step-*")), lambda: user.log(job))
    node = user.slurm.job(job)["BatchHost"]
    user.slurm.kill_node(node)
    try:
        wait_until(lambda: user.slurm.job(job)["Restarts"] == "1", lambda: user.log(job))
        assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
        assert user.slurm.job(job)["BatchHost"] != node
        assert_same_run(directory, undisturbed)
    finally:
        user.slurm.start_node(node)


def test_a_cancelled_job_is_not_requeued(user: User) -> None:
    directory = user.clone / "runs" / "cancelled"
    job = user.sbatch(DIGITS, *LONG, "--run.dir", "runs/cancelled")
    wait_for_steps(user, job, directory)
    user.slurm.slurm("scancel", job)
    assert user.slurm.wait(job)["JobState"] == "CANCELLED"
    assert list(directory.glob("checkpoints/step-*")), "the trainers saved before they went"


def test_requeues_are_limited(user: User) -> None:
    """And a signal to the trainers alone, as --signal without B: sends it, works as well."""
    directory = user.clone / "runs" / "often"
    job = user.sbatch(DIGITS, *LONG, "--run.dir", "runs/often", GZSL_MAX_REQUEUES="0")
    wait_for_steps(user, job, directory)
    user.slurm.slurm("scancel", "--signal=USR1", job)
    ended = user.slurm.wait(job)
    assert (ended["JobState"], ended["ExitCode"]) == ("FAILED", "75:0")
    assert "not requeued, after 0 requeues (GZSL_MAX_REQUEUES=0)" in last_line(user.log(job))


def test_a_limit_that_is_too_short_is_no_loop(user: User, tmp_path: Path) -> None:
    """Warned before its first step, twice: the second time it says why, and stays down.

    The signal comes while srun still makes its step, here for three seconds, when it dies of it.
    """
    slow = tmp_path / "srun"
    slow.write_text(f'#!/bin/bash\nsleep 3\nexec {shutil.which("srun")} "$@"\n')
    slow.chmod(0o755)
    given = ("--time=3", "cluster/train.sbatch", "--config", "configs/digits.yaml")
    path = f"{tmp_path}:{os.environ['PATH']}"
    job = user.sbatch(*given, *LONG, "--run.dir", "runs/short", PATH=path)
    for start in (1, 2):
        wait_until(lambda start=start: f"start {start}:" in user.log(job), lambda: user.log(job))
        user.slurm.slurm("scancel", "--batch", "--signal=USR1", job)
    ended = user.slurm.wait(job)
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("FAILED", "2:0", "1")
    assert "the time limit is shorter than start-up plus the grace" in last_line(user.log(job))


def test_a_finished_run_is_measured_and_synthesized_in_jobs(user: User) -> None:
    job = user.sbatch("cluster/train.sbatch", *TINY, "--run.dir", "runs/any")
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    bank = ("--run", "runs/any", "--out", "any.h5", "--per-class", 20)
    job = user.sbatch("-c", 2, "cluster/synthesize.sbatch", *bank)
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    assert (user.clone / "any.h5").exists()
    job = user.sbatch("-c", 2, "cluster/evaluate.sbatch", "--run=runs/any", "--bank", "any.h5")
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    assert "AUSUC" in user.log(job)
    job = user.sbatch("-c", 2, "cluster/evaluate.sbatch", "--run", "runs/none")
    assert user.slurm.wait(job)["ExitCode"] == "2:0"
    assert "--run runs/none: no run directory" in last_line(user.log(job))
