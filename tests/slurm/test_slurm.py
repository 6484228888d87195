"""The files of cluster/ as users submit them, on a real Slurm."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from gzsl_dist.monitoring.logbook import read_metrics

from .conftest import User

pytestmark = pytest.mark.slurm

DIGITS = "cluster/train_digits.sbatch"
TINY = (
    "--train.steps", 12, "--train.batch_size", 32, "--log.every", 2,
    "--evaluation.calibration", "none", "--evaluation.rows_per_class", 20,
)  # fmt: skip
# Long enough to be interrupted, and never finished before: a signal comes after some steps.
LONG = (*TINY[2:], "--train.steps", 500, "--checkpoint.every", 100)


@pytest.fixture(scope="module")
def undisturbed(slurm: Any, clone: Path) -> Path:
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
    assert logged == list(range(2, 501, 2))


def result(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "result.json").read_text())


def wait_until(condition: Callable[[], object], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def wait_for_steps(user: User, job: str, directory: Path) -> None:
    wait_until(lambda: read_metrics(directory / "metrics.jsonl"), lambda: user.log(job))


def last_line(log: str) -> str:
    """The last line that is not Slurm's own."""
    return [line for line in log.splitlines() if not line.startswith(("slurmstepd", "srun"))][-1]


def test_one_line_trains_the_embedded_data_set(user: User) -> None:
    """Seeds get run directories of their own; the log ends with the table."""
    job = user.sbatch(DIGITS, *TINY[:2], "--train.seed", 3)
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    log = user.log(job)
    (run,) = (user.clone / "runs").glob("digits-*seed3")
    assert result(run)["seed"] == 3
    assert re.search(r"calibrated .*\n(.*\n){0,4}curves: .*\n?$", log), log
    assert json.loads((run / "state.json").read_text())["state"] == "done"
    assert not list(run.glob(".outcome*"))


def test_from_another_folder_on_two_nodes(user: User, tmp_path: Path) -> None:
    """Two nodes, one process each; submitted by the file's path."""
    variables = {"GZSL_VENV": __import__("sys").prefix, "GLOO_SOCKET_IFNAME": "lo"}
    done = user.slurm.sbatch(
        "-N", "2", str(user.clone / DIGITS), *map(str, TINY), "--run.dir", "runs/two",
        cwd=tmp_path, variables=variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    job = done.stdout.split()[-1]
    log = tmp_path / f"slurm-digits-{job}.out"
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", log.read_text()
    assert "2 node(s) x 1 process(es) on CPUs (gloo)" in log.read_text()
    assert result(user.clone / "runs" / "two")["world_size"] == 2


def test_deepspeed_on_two_nodes(user: User) -> None:
    pytest.importorskip("deepspeed")
    job = user.sbatch(
        "-N", 2, DIGITS, *TINY, "--run.dir", "runs/zero", "--train.strategy", "deepspeed",
        "--train.precision", "float32", PROCESSES="1",
    )  # fmt: skip
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    assert result(user.clone / "runs" / "zero")["strategy"].startswith("deepspeed")
    assert result(user.clone / "runs" / "zero")["world_size"] == 2


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


def test_a_time_limit_is_survived(user: User, undisturbed: Path) -> None:
    """Slurm sends the signal 50 s before the limit of a minute."""
    directory = user.clone / "runs" / "limited"
    job = user.sbatch(
        "-c", 2, "--time=1", "--signal=B:USR1@50", DIGITS, *LONG, "--run.dir", "runs/limited"
    )
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    assert "requeueing (0 before)" in user.log(job)
    assert_same_run(directory, undisturbed)


def test_an_administrator_requeues(user: User, undisturbed: Path) -> None:
    directory = user.clone / "runs" / "requeued"
    job = user.sbatch("-c", 2, DIGITS, *LONG, "--run.dir", "runs/requeued")
    wait_for_steps(user, job, directory)
    user.slurm.slurm("scontrol", "requeue", job)
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    assert user.slurm.job(job)["Restarts"] == "1"
    assert_same_run(directory, undisturbed)


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
    job = user.sbatch("-c", 2, DIGITS, *LONG, "--run.dir", "runs/cancelled")
    wait_for_steps(user, job, directory)
    user.slurm.slurm("scancel", job)
    assert user.slurm.wait(job)["JobState"] == "CANCELLED"
    assert list(directory.glob("checkpoints/step-*")), "the trainers saved before they went"


def test_requeues_are_limited(user: User) -> None:
    directory = user.clone / "runs" / "often"
    job = user.sbatch("-c", 2, DIGITS, *LONG, "--run.dir", "runs/often", GZSL_MAX_REQUEUES="0")
    wait_for_steps(user, job, directory)
    user.slurm.slurm("scancel", "--batch", "--signal=USR1", job)
    ended = user.slurm.wait(job)
    assert (ended["JobState"], ended["ExitCode"]) == ("FAILED", "75:0")
    assert "not requeued, after 0 requeues (GZSL_MAX_REQUEUES=0)" in last_line(user.log(job))


def test_a_diverged_run_is_not_requeued(user: User) -> None:
    job = user.sbatch(
        DIGITS, *TINY, "--run.dir", "runs/diverged", "--train.learning_rate", "1e30",
        "--train.precision", "float32", PROCESSES="1",
    )  # fmt: skip
    ended = user.slurm.wait(job)
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("FAILED", "3:0", "0")
    assert last_line(user.log(job)).startswith("error: training diverged: ")


def test_a_sweep_of_four(user: User) -> None:
    """An array; submitted again, all its tasks are skipped."""
    (user.clone / "sweep.yaml").write_text(
        "data: {digits: configs/digits.yaml}\nmethods: [iapc, wgan]\nseeds: [0, 1]\ndir: runs/s\n"
        "settings: {train.steps: 12, train.batch_size: 32, evaluation.calibration: none}\n"
    )
    for _ in range(2):
        job = user.sbatch("--array=0-3", "-c", 1, "cluster/sweep.sbatch", "sweep.yaml")
        for element in range(4):
            ended = user.slurm.wait(f"{job}_{element}")
            assert ended["JobState"] == "COMPLETED", user.log(job)
    assert user.log(job).count("this run is finished") == 4
    assert len(list((user.clone / "runs" / "s").glob("*/result.json"))) == 4


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("cluster/train_cub.sbatch", [], "data.path data/cub.h5: cannot be read"),
        (DIGITS, ["--train.stepz", "3"], "did you mean --train.steps?"),
        (DIGITS, ["--run.dir", "/proc/gzsl_dist"], "run directory /proc/gzsl_dist"),
        ("cluster/sweep.sbatch", ["missing.yaml"], "missing.yaml"),
    ],
)
def test_bad_input_ends_a_job_with_2(
    user: User, script: str, arguments: list[str], words: str
) -> None:
    job = user.sbatch("--array=0", "-c", 1, "-o", "slurm-bad-%A.out", script, *arguments)
    ended = user.slurm.wait(job)
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("FAILED", "2:0", "0")
    errors = [line for line in user.log(job).splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, user.log(job)
    assert words in errors[0]


def test_an_environment_without_the_package(user: User, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    (tmp_path / "bin" / "python").chmod(0o755)
    job = user.sbatch(DIGITS, GZSL_VENV=str(tmp_path))
    assert user.slurm.wait(job)["ExitCode"] == "2:0"
    assert f"error: environment {tmp_path} lacks gzsl_dist" in last_line(user.log(job))


def test_a_log_that_cannot_be_written_is_no_loop(user: User) -> None:
    """Slurm itself ends such a job, before anything of ours runs."""
    job = user.sbatch("-o", "/proc/none/log", DIGITS)
    ended = user.slurm.wait(job)
    assert ended["JobState"] == "FAILED"
    assert ended["Restarts"] == "0"
