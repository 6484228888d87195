"""Processes whose machines hold different files: exit 2, and one line that says who sees what.

Two processes with working folders of their own stand for two machines without shared storage.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.store import write_dataset

from .commands import SMALL, run, run_apart

HOST = socket.gethostname()
WHO = f"on {HOST} (rank 0)", f"on {HOST} (rank 1)"


@pytest.fixture
def machines(tmp_path: Path) -> list[Path]:
    """Working folders of two processes."""
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    return folders


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the digits as a file, relative to its folder."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    done = run("train", *SMALL, "--evaluation.calibration", "none", "--run.dir", folder)
    assert done.returncode == 0, done.stderr
    return folder


def told(both: list[subprocess.CompletedProcess[str]]) -> str:
    """The one line that the job printed."""
    assert [process.returncode for process in both] == [2, 2], both
    lines = [line for process in both for line in process.stderr.splitlines()]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def train(machines: list[Path], *arguments: object) -> list[subprocess.CompletedProcess[str]]:
    return run_apart(machines, ["-m", "gzsl_dist.train", *SMALL, *arguments])


def test_a_run_directory_that_is_not_shared(machines: list[Path]) -> None:
    line = told(train(machines, "--run.dir", "r"))
    assert "run directory r differs between processes" in line
    assert all(who in line for who in WHO)
    assert "storage that all machines of the job share" in line
    assert not list(machines[0].glob("r/**/metrics.jsonl")), "not a step was trained"
    assert not list(machines[0].glob("r/.seen*"))


def test_different_data_under_one_name(machines: list[Path], tmp_path: Path) -> None:
    datasets = [digits_dataset(), digits_dataset()]
    datasets[1].features[0, 0] += 1  # type: ignore[index]
    for machine, dataset in zip(machines, datasets, strict=True):
        write_dataset(machine / "data.h5", dataset)
    line = told(train(machines, "--data.path", "data.h5", "--run.dir", tmp_path / "r"))
    assert "data.path data.h5 differs between processes" in line
    assert all(
        f"{dataset.fingerprint[:12]} {who}" in line
        for dataset, who in zip(datasets, WHO, strict=True)
    )
    assert not (tmp_path / "r").exists()


def test_data_that_one_machine_lacks(machines: list[Path], tmp_path: Path) -> None:
    write_dataset(machines[0] / "data.h5", digits_dataset())
    line = told(train(machines, "--data.path", "data.h5", "--run.dir", tmp_path / "r"))
    assert line.startswith(f"error: process 1 on {HOST}: data.h5: ")


def test_different_settings(machines: list[Path], tmp_path: Path) -> None:
    for machine, margin in zip(machines, (0.1, 0.2), strict=True):
        (machine / "c.yaml").write_text(f"loss: {{prototype: {{margin: {margin}}}}}")
    program = ["-m", "gzsl_dist.train", "--config", "c.yaml", "--run.dir", tmp_path / "r"]
    line = told(run_apart(machines, program))
    assert "loss.prototype.margin differs between processes: 0.1 on" in line
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("damage", ["another step", "missing", "another checksum"])
def test_checkpoints_to_resume_from(
    damage: str, machines: list[Path], trained: Path, tmp_path: Path
) -> None:
    for machine in machines:
        shutil.copytree(trained, machine / "earlier")
    newest = machines[1] / "earlier" / "checkpoints" / "step-00000012"
    if damage == "another checksum":
        state = newest / "state.json"
        state.write_text(state.read_text().replace("12", "12 "))
    else:
        newest.rename(newest.with_name("step-00000013" if damage == "another step" else "away"))
    line = told(
        train(
            machines, "--run.dir", tmp_path / "r", "--train.resume", "earlier",
            "--evaluation.calibration", "none", "--train.steps", 20,
        )
    )  # fmt: skip
    assert "checkpoint earlier/checkpoints/step-00000012 differs between processes" in line
    assert "step 12 with checksum" in line
    assert all(who in line for who in WHO)


@pytest.mark.parametrize("what", ["newest checkpoint", "config.yaml"])
def test_a_run_to_evaluate(what: str, machines: list[Path], trained: Path) -> None:
    for machine in machines:
        shutil.copytree(trained, machine / "r")
    if what == "config.yaml":
        path = machines[1] / "r" / "config.yaml"
        path.write_text(path.read_text().replace("iterations: 20", "iterations: 21"))
    else:
        shutil.rmtree(machines[1] / "r" / "checkpoints" / "step-00000012")
    line = told(run_apart(machines, ["-m", "gzsl_dist.evaluate", "--run", "r"]))
    assert what in line
    assert "differs between processes" in line
    assert all(who in line for who in WHO)


def test_result_that_one_machine_lacks_does_not_stop_evaluate(
    machines: list[Path], trained: Path
) -> None:
    """Whether the run is finished is decided by one process: the others wait for no one."""
    for machine in machines:
        shutil.copytree(trained, machine / "r")
    (machines[1] / "r" / "result.json").unlink()
    both = run_apart(machines, ["-m", "gzsl_dist.evaluate", "--run", "r"], timeout=100)
    assert [process.returncode for process in both] == [0, 0], both


def test_a_bank_on_disks_of_their_own(machines: list[Path], trained: Path) -> None:
    for machine in machines:
        (machine / "out").mkdir()
    arguments = ["--run", trained, "--per-class", 50, "--out", "out/bank.h5"]
    line = told(run_apart(machines, ["-m", "gzsl_dist.synthesize", *arguments]))
    assert "output folder out differs between processes" in line
    assert all(who in line for who in WHO)
    for machine in machines:
        assert not [path for path in (machine / "out").iterdir() if path.suffix != ".lock"]


def test_different_banks_under_one_name(machines: list[Path], trained: Path) -> None:
    for machine in machines:
        out = machine / "bank.h5"
        done = run("synthesize", "--run", trained, "--per-class", 20, "--out", out)
        assert done.returncode == 0, done.stderr
    arguments = ["--run", trained, "--bank", "bank.h5"]
    line = told(run_apart(machines, ["-m", "gzsl_dist.evaluate", *arguments]))
    assert "--bank bank.h5 differs between processes" in line
