"""The files of cluster/ as users submit them, on a real Slurm."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from gzsl_dist.data.store import read_dataset
from tests.conftest import ROOT
from tests.unit.extraction.small import write_problem

from ..integration.test_verify import ALL as CHECKS
from .conftest import User, last_line

pytestmark = pytest.mark.slurm

DIGITS = "cluster/train_digits.sbatch"
VERIFY = "cluster/verify.sbatch"
SMALL_BATCH = ("--train.batch_size", 32)
TINY = (
    "--train.steps", 12, "--train.batch_size", 32, "--log.every", 2,
    "--evaluation.calibration", "none", "--evaluation.rows_per_class", 20,
)  # fmt: skip


def result(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "result.json").read_text())


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
    variables = {"GZSL_VENV": sys.prefix, "GLOO_SOCKET_IFNAME": "lo"}
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


def test_srun_alone_starts_the_processes(user: User) -> None:
    """Rank, size and meeting point come from Slurm's variables, without torchrun."""
    train = [sys.executable, "-m", "gzsl_dist.train", *map(str, TINY), "--run.dir", "runs/srun"]
    job = user.sbatch(
        "--ntasks=2", "-o", "slurm-srun-%j.out", "--wrap", shlex.join(["srun", *train]),
        PYTHONPATH=str(user.clone),
    )  # fmt: skip
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    assert "2 process(es), ddp" in user.log(job)
    assert result(user.clone / "runs" / "srun")["world_size"] == 2


def test_a_cluster_is_verified(user: User) -> None:
    """Two tasks, one on each node: the table is in the log, and the job's exit code is 0."""
    job = user.sbatch("-N", 2, VERIFY, *SMALL_BATCH, "--run.dir", "runs/verify", PROCESSES="1")
    ended = user.slurm.wait(job, timeout=300)
    log = user.log(job)
    assert (ended["JobState"], ended["ExitCode"]) == ("COMPLETED", "0:0"), log
    assert "2 node(s) x 1 process(es) on CPUs (gloo)" in log
    rows = re.findall(r"^│ (\w[^│]*?) +│ (\w+) +│", log, re.MULTILINE)
    assert dict(rows) == dict.fromkeys(CHECKS, "ok"), log
    assert last_line(log).startswith("all checks hold, 2 process(es), ")
    assert not list((user.clone / "runs" / "verify").iterdir()), "nothing is left"


def test_a_cluster_is_verified_for_a_program(user: User) -> None:
    """``--json``; and a check that does not hold is the job's failure, which is not requeued."""
    job = user.sbatch(
        "-N", 2, VERIFY, *SMALL_BATCH, "--json", "--run.dir", "runs/json",
        "--loss.negatives", "local", PROCESSES="1",
    )  # fmt: skip
    ended = user.slurm.wait(job, timeout=300)
    log = user.log(job)
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("FAILED", "2:0", "0"), log
    found = json.loads(re.search(r"^\{\n.*^\}$", log, re.MULTILINE | re.DOTALL)[0])
    assert (found["holds"], found["world_size"]) == (False, 2)
    assert [check["name"] for check in found["checks"]] == CHECKS
    assert not next(check for check in found["checks"] if check["name"] == "negatives")["holds"]
    assert " of 15 checks failed (negatives, " in last_line(log)


def test_images_are_extracted_by_a_job(user: User, tmp_path: Path) -> None:
    arguments = write_problem(tmp_path)
    out = tmp_path / "out.h5"
    job = user.sbatch(
        "cluster/extract.sbatch", *arguments, "--out", out, PROCESSES="2", PYTHONPATH=str(ROOT)
    )
    assert user.slurm.wait(job)["JobState"] == "COMPLETED", user.log(job)
    assert "2 process(es) on CPUs (gloo)" in user.log(job)
    assert read_dataset(out).origin["images"] == {"encoded": 35, "left_out": 0}
    code, stdout, _ = user.bash("cluster/extract.sbatch", *arguments, "--dry-run")
    assert code == 0
    assert "-m torch.distributed.run" in stdout
    assert stdout.endswith("nothing is missing\n")


def test_a_diverged_run_is_not_requeued(user: User) -> None:
    job = user.sbatch(
        DIGITS, *TINY, "--run.dir", "runs/diverged", "--train.learning_rate", "1e30",
        "--train.precision", "float32", PROCESSES="1",
    )  # fmt: skip
    ended = user.slurm.wait(job)
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("FAILED", "3:0", "0")
    assert last_line(user.log(job)).startswith("error: training diverged: ")


def test_a_sweep_of_three_by_two_jobs(user: User) -> None:
    """An array, of which one has two tasks; submitted again, all its tasks are skipped."""
    (user.clone / "sweep.yaml").write_text(
        "data: {digits: configs/digits.yaml}\nmethods: [iapc, wgan, ridge]\nseeds: [0]\n"
        "dir: runs/s\n"
        "settings: {train.steps: 12, train.batch_size: 32, evaluation.calibration: none}\n"
    )
    for _ in range(2):
        job = user.sbatch("--array=0-1", "-c", 1, "cluster/sweep.sbatch", "sweep.yaml")
        for element in range(2):
            ended = user.slurm.wait(f"{job}_{element}")
            assert ended["JobState"] == "COMPLETED", user.log(job)
    assert user.log(job).count("done already, skipped") == 3
    assert len(list((user.clone / "runs" / "s").glob("*/result.json"))) == 3


def test_a_search_of_two_jobs(user: User) -> None:
    pytest.importorskip("optuna")
    (user.clone / "space.yaml").write_text("train.learning_rate: {low: 1.0e-4, high: 1.0e-3}\n")
    job = user.sbatch(
        "--array=0-1", "-c", 1, "cluster/search.sbatch", *TINY[:6], *TINY[-2:],
        "--evaluation.folds", 1, "--run.dir", "runs/s", "--space", "space.yaml", "--trials", 4,
        "--config", "configs/digits.yaml",
    )  # fmt: skip
    for element in range(2):
        ended = user.slurm.wait(f"{job}_{element}")
        assert ended["JobState"] == "COMPLETED", user.log(job)
    trials = (user.clone / "runs" / "s" / "search" / "trials.csv").read_text().splitlines()[1:]
    assert [line.split(",")[:3] for line in trials] == [
        ["iapc", str(number), "done"] for number in range(4)
    ]


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


def test_dry_run_tells_what_is_missing(user: User) -> None:
    code, stdout, stderr = user.bash(DIGITS, "--dry-run", "--train.seed", "3")
    assert (code, stderr) == (0, "")
    assert "runs/digits-seed3" in stdout
    assert stdout.endswith("nothing is missing\n")
    code, _, stderr = user.bash("cluster/train_cub.sbatch", "--dry-run")
    assert code == 2
    assert re.fullmatch(r"missing +data.path data/cub.h5: cannot be read .*\n", stderr)
    assert not (user.clone / "runs" / "digits-seed3").exists()


def test_outside_a_job_the_scripts_tell_how_to_submit_them(user: User) -> None:
    code, _, stderr = user.bash("cluster/train_sun.sbatch")
    assert code == 2
    assert stderr.startswith("error: this is no Slurm job: sbatch cluster/train_sun.sbatch")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("GZSL_SIGNAL=FOO", "no signal that can be caught"),
        ("GZSL_MAX_REQUEUES=many", "must be a whole number"),
        ("PROCESSES=0", "must be 1 or more"),
        ("GZSL_VENV=/nowhere", "no virtual environment"),
        ("GZSL_CONDA=nowhere", "conda"),
    ],
)
def test_wrong_variables_are_told_in_one_line(user: User, variable: str, words: str) -> None:
    name, value = variable.split("=")
    code, _, stderr = user.bash(DIGITS, "--dry-run", **{"GZSL_VENV": "", name: value})
    assert code == 2
    assert stderr.startswith(f"error: {name}")
    assert words in stderr
    assert stderr.count("\n") == 1


def test_a_login_node_without_slurm(user: User, tmp_path: Path) -> None:
    for program in ("bash", "dirname", "sed", "head", "basename"):
        (tmp_path / program).symlink_to(shutil.which(program) or "")
    code, _, stderr = user.bash(DIGITS, PATH=str(tmp_path))
    assert code == 2
    assert stderr == (
        "error: no Slurm on this machine (sbatch is not found); launch/torchrun.sh trains without "
        "it\n"
    )


def test_no_nodes_are_refused_by_sbatch_itself(user: User) -> None:
    done = user.slurm.sbatch("-N", "0", DIGITS, cwd=user.clone)
    assert done.returncode != 0
    assert not done.stdout
    assert done.stderr.count("\n") == 1


def test_cub_chooses_the_configuration_whose_data_are_there(user: User) -> None:
    (user.clone / "data").mkdir(exist_ok=True)
    (user.clone / "data" / "cub_vgg_sent.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    try:
        code, stdout, _ = user.bash("cluster/train_cub.sbatch", "--dry-run")
        assert code == 0
        assert "--config configs/cub_cpu.yaml" in stdout
        code, _, stderr = user.bash(
            "cluster/train_cub.sbatch", "--dry-run", CONFIG="configs/cub.yaml"
        )
        assert code == 2
        assert "data/cub.h5" in stderr
    finally:
        (user.clone / "data" / "cub_vgg_sent.h5").unlink()
