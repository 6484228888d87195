"""`python -m gzsl_dist.verify`: it holds where all is well, and finds faults that are planted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from gzsl_dist.config import Config
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.verification import resume
from gzsl_dist.verification.check import Session

from .commands import SMALL, run, run_apart

ALL = [
    "devices", "versions", "clocks", "run directory", "data", "checkpoints", "disk", "locks",
    "communication", "negatives", "gradients, critic", "gradients, generator", "save and resume",
    "kill -9 and resume", "memory",
]  # fmt: skip
FLOAT32 = ("--train.precision", "float32")


def verified(*arguments: object, processes: int = 1, code: int = 0) -> dict[str, dict[str, Any]]:
    """The checks by name."""
    done = run("verify", *SMALL, *arguments, "--json", processes=processes)
    assert (done.returncode == 0) == (code == 0), done.stderr
    if code and processes == 1:
        assert done.returncode == code, done.stderr
    start, end = done.stdout.index("{"), done.stdout.rindex("}") + 1
    found = json.loads(done.stdout[start:end])
    checks = {check["name"]: check for check in found["checks"]}
    assert list(checks) == ALL
    assert found["world_size"] == processes
    assert found["holds"] == (code == 0) == all(check["holds"] for check in checks.values())
    for check in checks.values():
        assert check["holds"] or check["remedy"], check
    return checks


def failed(checks: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, check in checks.items() if not check["holds"]]


def test_one_process(tmp_path: Path) -> None:
    checks = verified("--run.dir", tmp_path / "r")
    assert "30.0 of 30 rows" in checks["negatives"]["found"]
    assert not (tmp_path / "r").exists(), "nothing is left"


@pytest.mark.parametrize(
    ("arguments", "strategy"),
    [
        (("--model.anchor", "kernel_ridge"), "ddp"),
        (
            ["--train.strategy", "deepspeed", "--train.zero_stage", "2", "--model.anchor", "ridge"],
            "ZeRO 2",
        ),
    ],
)
def test_two_processes(arguments: Sequence[str], strategy: str, tmp_path: Path) -> None:
    checks = verified("--run.dir", tmp_path / "r", *FLOAT32, *arguments, processes=2)
    assert f"{strategy}, float32" in checks["gradients, critic"]["found"]
    assert "2 resumed: weights and moments to the bit" in checks["kill -9 and resume"]["found"]


def test_negatives_of_each_process_alone_are_found(tmp_path: Path) -> None:
    checks = verified("--run.dir", tmp_path / "r", "--loss.negatives", "local", processes=2, code=2)
    assert {"negatives", "gradients, critic", "gradients, generator"} <= set(failed(checks))
    assert checks["negatives"]["found"].startswith("0.0 of 30")


def test_a_run_directory_that_is_not_shared_is_found(tmp_path: Path) -> None:
    machines = [tmp_path / "one", tmp_path / "other"]
    for machine in machines:
        machine.mkdir()
    program = ["-m", "gzsl_dist.verify", *SMALL, "--run.dir", "r"]
    both = run_apart(machines, program)
    assert [done.returncode for done in both] == [2, 2], both
    table = " ".join(both[0].stdout.split())
    assert "FAILED" in table
    assert "the one of rank 0" in table
    assert "no run directory in common" in table
    assert "storage that" in table
    assert both[0].stderr.count("error:") == 1
    assert not (machines[0] / "r").exists()


def test_a_damaged_checkpoint_is_found(tmp_path: Path) -> None:
    directory = tmp_path / "r"
    done = run("train", *SMALL, "--evaluation.calibration", "none", "--run.dir", directory)
    assert done.returncode == 0, done.stderr
    path = sorted((directory / "checkpoints").iterdir())[-1] / "networks.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    checks = verified("--run.dir", directory, code=2)
    assert failed(checks) == ["checkpoints"]
    assert path.parent.name in checks["checkpoints"]["found"]
    assert "networks.safetensors" in checks["checkpoints"]["found"]
    assert (directory / "result.json").exists(), "a run stays as it is"


def test_what_cannot_be_verified_is_one_line(tmp_path: Path) -> None:
    done = run("verify", "--method", "ridge", "--run.dir", tmp_path / "r")
    assert done.returncode == 2
    assert done.stderr.startswith("error: method ridge: trains no networks")
    assert done.stderr.count("\n") == 1


def test_losses_that_are_no_numbers_do_not_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """NaN is not larger than 0, so a maximum that is taken carelessly loses it."""
    monkeypatch.setattr(resume, "_losses", lambda *_: torch.tensor([float("nan")]))
    session = Session(Config(), Processes(0, 1, torch.device("cpu")), tmp_path)
    (check,) = resume.killed(session)
    assert not check.holds
