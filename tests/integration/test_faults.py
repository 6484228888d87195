"""Runs that are killed, or started twice."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from gzsl_dist.run.metrics import read_metrics

from ..forked import Forked
from ..sizes import SMALL_NETWORKS
from . import commands
from .commands import (
    PATIENCE,
    ROOT,
    SMALL,
    command,
    environment,
    error_line,
    meeting_point,
    run,
    start_job,
)

STEPS = 120
KILLS = int(os.environ.get("GZSL_KILLS", "5" if os.environ.get("CI") else "20"))
ARGUMENTS = (
    *SMALL, *(word for name, size in SMALL_NETWORKS.items() for word in (f"--model.{name}", size)),
    "--evaluation.calibration", "none", "--evaluation.every", "50", "--checkpoint.every", "2",
)  # fmt: skip


def start(*arguments: object) -> Forked:
    return commands.start(["-m", "gzsl_dist.train", *ARGUMENTS, *arguments])


def weights(directory: Path) -> dict[str, np.ndarray]:
    newest = max((directory / "checkpoints").glob("step-*"))
    return load_file(newest / "networks.safetensors")


def workers(launcher: subprocess.Popen[str]) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(launcher.pid)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def wait_for_a_step(directory: Path, process: Forked, after: int = 0) -> None:
    """Until a later step than `after` is logged."""
    deadline = time.monotonic() + PATIENCE
    while last_step(directory) <= after:
        assert process.poll() is None, process.end(1).stderr
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_killed_at_random_moments_it_ends_at_the_same_weights(tmp_path: Path) -> None:
    """Kill -9 one of two processes; what is left ends soon, and a new start goes on."""
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    steps = ("--train.steps", STEPS, "--log.every", 2)
    done = run("train", *ARGUMENTS, *steps, "--run.dir", undisturbed, processes=2)
    assert done.returncode == 0, done.stderr
    moments, killed, last = random.Random(0), 0, 0
    for _ in range(KILLS):
        program = ["-m", "gzsl_dist.train", *ARGUMENTS, *steps, "--run.dir", disturbed]
        both = start_job([ROOT] * 2, program)
        # counted in steps, so that the kills are spread over the run on any machine
        last += moments.randrange(STEPS // (2 * KILLS))
        wait_for_a_step(disturbed, both[0], last)
        time.sleep(moments.uniform(0, 0.03))
        last = last_step(disturbed)
        victim, other = moments.sample(both, 2)
        victim.kill()
        started = time.monotonic()
        ended = [process.end(PATIENCE) for process in (victim, other)]
        # at once on a quiet machine; without a sign of the death it would be the time-out, 300
        assert time.monotonic() - started < 150
        if ended[0].returncode == -signal.SIGKILL:
            killed += 1
            assert ended[1].returncode != 0 or (disturbed / "result.json").exists()
        if last_step(disturbed) == STEPS:
            break
    assert killed >= 0.6 * KILLS, "the runs were too short to be killed"
    done = run("train", *ARGUMENTS, *steps, "--run.dir", disturbed, processes=2)
    assert done.returncode == 0, done.stderr
    expected, found = weights(undisturbed), weights(disturbed)
    assert all((found[name] == expected[name]).all() for name in expected)
    logged = [line["step"] for line in read_metrics(disturbed / "metrics.jsonl")]
    assert logged == list(range(2, STEPS + 1, 2))


def last_step(directory: Path) -> int:
    lines = read_metrics(directory / "metrics.jsonl")
    return lines[-1]["step"] if lines else 0


def test_torchrun_restarts_a_killed_job_by_itself(tmp_path: Path) -> None:
    arguments = command(
        "train", *ARGUMENTS, "--train.steps", STEPS, "--log.every", 2, "--run.dir", tmp_path / "r",
        processes=2,
    )  # fmt: skip
    arguments.insert(arguments.index("--standalone"), "--max-restarts=2")
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    deadline = time.monotonic() + PATIENCE
    while not list((tmp_path / "r" / "checkpoints").glob("step-*")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(workers(process)[0], signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, stderr
    assert "resuming after step" in stdout
    assert (tmp_path / "r" / "result.json").exists()


def test_a_second_start_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    endless = ("--train.steps", 1_000_000, "--run.dir", tmp_path / "r")
    first = start(*endless)
    try:
        wait_for_a_step(tmp_path / "r", first)
        before = (tmp_path / "r" / "config.yaml").read_text()
        second = run("train", *ARGUMENTS, *endless, "--log.every", 7)
        assert "in use by another job" in error_line(second)
        assert (tmp_path / "r" / "config.yaml").read_text() == before
    finally:
        first.kill()
        first.end(PATIENCE)
    # the lock died with its process
    third = start(*endless)
    wait_for_a_step(tmp_path / "r", third, last_step(tmp_path / "r"))
    third.send_signal(signal.SIGUSR1)
    ended = third.end(PATIENCE)
    assert ended.returncode == 75, ended.stderr


def launched_by_hand(rank: int, *arguments: object, **variables: str) -> Forked:
    """One of two processes with the variables of a launcher that is not torchrun."""
    given = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    program = ["-m", "gzsl_dist.train", *ARGUMENTS, "--train.collective_timeout", 60, *arguments]
    return commands.start(program, **given | variables)


def test_bad_input_is_told_by_the_first_of_two_processes(tmp_path: Path) -> None:
    pytest.importorskip("deepspeed")
    file = tmp_path / "zero.json"
    file.write_text('{"zero_optimization": {"stage": 4}}')
    wrong = ("--train.strategy", "deepspeed", "--train.deepspeed_config", file)
    precise = ("--train.precision", "float32", "--run.dir", tmp_path / "r")
    meeting = meeting_point()
    both = [launched_by_hand(rank, *wrong, *precise, **meeting) for rank in (0, 1)]
    ended = [process.end(PATIENCE) for process in both]
    errors = [process.stderr for process in ended]
    assert [process.returncode for process in ended] == [2, 2]
    assert errors[0].startswith(f"error: train.deepspeed_config {file}: ZeRO stage 4")
    assert errors[0].count("\n") == 1
    assert errors[1] == ""
    assert not (tmp_path / "r").exists()


def test_a_missing_address_is_told_once() -> None:
    both = [launched_by_hand(rank) for rank in (0, 1)]
    ended = [process.end(PATIENCE) for process in both]
    errors = [process.stderr for process in ended]
    assert [process.returncode for process in ended] == [2, 2]
    assert "RANK = 0, WORLD_SIZE = 2, but MASTER_ADDR, MASTER_PORT missing" in errors[0]
    assert errors[0].count("\n") == 1
    assert errors[1] == ""


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE = 2, but RANK, MASTER_ADDR, MASTER_PORT missing"),
        ({"RANK": "0"}, "RANK = 0, but WORLD_SIZE, MASTER_ADDR, MASTER_PORT missing"),
        ({"WORLD_SIZE": "all"}, "WORLD_SIZE = 'all'"),
    ],
)
def test_half_of_a_launchers_variables_is_an_error(
    variables: dict[str, str], told: str, tmp_path: Path
) -> None:
    """Rather than a training by this process alone, or processes that wait for each other."""
    program = ["-m", "gzsl_dist.train", *map(str, ARGUMENTS), "--run.dir", tmp_path / "r"]
    done = commands.start(program, **variables).end(PATIENCE)
    assert told in error_line(done)
    assert not (tmp_path / "r").exists()


def test_a_port_in_use_is_told() -> None:
    """By the first process, which ends at once; the launcher ends the others."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        first = launched_by_hand(0, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        ended = first.end(PATIENCE)
    error = ended.stderr
    assert ended.returncode == 2
    assert error.startswith("error: 2 processes cannot meet")
    assert port in error
    assert "in use" in error
    assert error.count("\n") == 1


def test_the_deepspeed_launcher_starts_it(tmp_path: Path) -> None:
    launcher = Path(sys.executable).with_name("deepspeed")
    if not launcher.exists():
        pytest.skip("the deepspeed launcher is not installed")
    single = ("--train.precision", "float32", "--run.dir", tmp_path / "r")
    done = subprocess.run(
        [launcher, "--num_accelerators", "2", "--master_port", meeting_point()["MASTER_PORT"],
         "--module", "gzsl_dist.train", *map(str, ARGUMENTS), "--train.strategy", "deepspeed",
         *map(str, single)],
        capture_output=True, text=True, timeout=PATIENCE, env=environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 process(es), deepspeed, ZeRO 1" in done.stdout
    assert (tmp_path / "r" / "result.json").exists()


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_one_process_in_a_step_is_told_by_it_and_in_torchruns_box(
    tmp_path: Path, failing: int
) -> None:
    program = tmp_path / "failing.py"
    program.write_text(
        "import os, sys\n"
        "from gzsl_dist.command import run_command\n"
        "from gzsl_dist.errors import InputError\n"
        "from gzsl_dist.train import main\n"
        "from gzsl_dist.training.trainer import Trainer\n"
        "step = Trainer.train_step\n"
        "def train_step(self, done):\n"
        f"    if done == 3 and os.environ['RANK'] == '{failing}':\n"
        "        raise InputError('row 7 of data.h5 cannot be read')\n"
        "    return step(self, done)\n"
        "Trainer.train_step = train_step\n"
        "run_command(main, sys.argv[1:])\n"
    )
    launcher = command("train", processes=2)[:-2]
    done = subprocess.run(
        [*launcher, program, *map(str, ARGUMENTS), "--run.dir", tmp_path / "r"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
        env=environment() | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert told == ["error: row 7 of data.h5 cannot be read"], done.stderr
    root = done.stderr[done.stderr.index("Root Cause") :]
    assert "row 7 of data.h5 cannot be read" in root
    assert "exitcode  : 2" in root
    assert "To enable traceback" not in root
