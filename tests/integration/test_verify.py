"""`python -m gzsl_dist.verify`: it holds where all is well, and finds faults that are planted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gzsl_dist.config import Config
from gzsl_dist.config.files import read_settings
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import final_problem
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import trained_parameters
from gzsl_dist.planning.table import amount, size
from gzsl_dist.training.objectives import CriticObjective, GeneratorObjective
from gzsl_dist.training.trainer import networks_for
from gzsl_dist.verification import machine, resume
from gzsl_dist.verification import run as checks_run
from gzsl_dist.verification.check import Session
from gzsl_dist.verification.small import small_config

from ..distributed.spawn import run_processes
from .commands import ROOT, SMALL, run, run_apart, run_program

ALL = [
    "devices", "versions", "clocks", "run directory", "data", "checkpoints", "disk", "locks",
    "communication", "negatives", "gradients, critic", "gradients, generator", "save and resume",
    "kill -9 and resume", "memory",
]  # fmt: skip
ALONE = DistributedContext(0, 1, torch.device("cpu"))
FLOAT32 = ("--train.precision", "float32")


def verified(
    *arguments: object,
    processes: int = 1,
    code: int = 0,
    start: Callable[..., subprocess.CompletedProcess[str]] = run,
) -> dict[str, dict[str, Any]]:
    """The checks by name."""
    done = start("verify", *SMALL, *arguments, "--json", processes=processes)
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


def test_one_process_says_that_it_is_compared_with_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks_run, "CHECKS", {})
    config = Config.model_validate({"run": {"dir": str(tmp_path / "run")}})
    for processes, told in ((ALONE, True), (DistributedContext(0, 2, ALONE.device), False)):
        checks_run.verify(config, processes, as_json=False)
        said = "compared with itself: torchrun --standalone --nproc_per_node=2 -m gzsl_dist"
        assert (said in capsys.readouterr().out) == told


def failed(checks: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, check in checks.items() if not check["holds"]]


def communication(checks: dict[str, dict[str, Any]]) -> str:
    return str(checks["communication"]["found"])


def gradients_of_the_larger_side(precision: str) -> str:
    """As the table tells them, counted from the networks of configs/digits.yaml."""
    config = Config.model_validate(read_settings(ROOT / "configs" / "digits.yaml"))
    problem = final_problem(digits_dataset(), config)
    arguments = (networks_for(problem, config), problem.semantics, config, ALONE)
    counts = {
        name: sum(each.numel() for each in trained_parameters(objective(*arguments)).values())
        for name, objective in (("critic side", CriticObjective), ("generator", GeneratorObjective))
    }
    side = max(counts, key=lambda name: counts[name])
    count, width = counts[side], {"float32": 4, "float64": 8}[precision]
    return f"the {side}'s gradients, {amount(count)} numbers of {precision}, {size(width * count)}"


def test_zero_3_scatters_the_gradients_of_the_real_size(tmp_path: Path) -> None:
    for rank, found in enumerate(run_processes(2, checked_under_zero_3, str(tmp_path))):
        assert "reduce_scatter of the" in found, rank
        assert " numbers of float32, " in found, rank


def checked_under_zero_3(processes: DistributedContext, folder: str) -> str:
    settings = {"strategy": "deepspeed", "zero_stage": 3, "precision": "float32"}
    config = Config.model_validate({"train": settings})
    session = Session(config, processes, Path(folder))
    vars(session)["strategy"] = SimpleNamespace(name="deepspeed, ZeRO 3")  # it need not start
    (check,) = machine.communication(session)
    return check.found


def test_one_process(tmp_path: Path) -> None:
    checks = verified("--run.dir", tmp_path / "r", start=run_program)
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
    assert f"all_reduce of {gradients_of_the_larger_side('float32')}" in communication(checks)
    assert "2 resumed: weights and moments to the bit" in checks["kill -9 and resume"]["found"]


def test_negatives_of_each_process_alone_are_found(tmp_path: Path) -> None:
    checks = verified("--run.dir", tmp_path / "r", "--loss.negatives", "local", processes=2, code=2)
    assert {"negatives", "gradients, critic", "gradients, generator"} <= set(failed(checks))
    assert checks["negatives"]["found"].startswith("0.0 of 30")
    assert f"all_reduce of {gradients_of_the_larger_side('float64')}" in communication(checks)


def test_a_run_directory_that_is_not_shared_is_found(tmp_path: Path) -> None:
    machines = [tmp_path / "one", tmp_path / "other"]
    for folder in machines:
        folder.mkdir()
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


@pytest.mark.parametrize(
    "evaluation",
    [
        {"final": False, "selection": "validation", "folds": 3},
        {"calibration": "fixed", "calibration_factor": 0.4},
    ],
)
def test_settings_of_any_study_can_be_verified(evaluation: dict[str, Any]) -> None:
    small = small_config(Config.model_validate({"evaluation": evaluation}), 2)
    assert (small.evaluation.final, small.evaluation.folds) == (True, 1)


def test_losses_that_are_no_numbers_do_not_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """NaN is not larger than 0, so a maximum that is taken carelessly loses it."""
    monkeypatch.setattr(resume, "_losses", lambda *_: torch.tensor([float("nan")]))
    session = Session(Config(), ALONE, tmp_path)
    (check,) = resume.killed(session)
    assert not check.holds
