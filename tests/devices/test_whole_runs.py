"""Every command on a device: here the simulated GPU (`simulated`), in `tests.gpu` a real one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.run.metrics import read_metrics

from ..integration.commands import SMALL, run
from .machine import Machine


def figures(directory: Path) -> dict[str, float]:
    result = json.loads((directory / "result.json").read_text())
    return {name: result[name] for name in ("U", "S", "H", "T1", "AUSUC")}


def losses(directory: Path) -> list[list[float]]:
    lines = read_metrics(directory / "metrics.jsonl")
    return [[value for key, value in sorted(line.items()) if "loss" in key] for line in lines]


@pytest.fixture(scope="module")
def finished(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the default method, killed in its final training and gone on with."""
    directory = tmp_path_factory.mktemp("runs") / "device"
    train = (*SMALL, "--train.device", machine.device, "--run.dir", directory)
    killed = machine.train_and_kill(12 + 8, *train)
    assert killed.returncode == -9, killed.stderr
    done = machine.run("train", *train)
    assert done.returncode == 0, done.stderr
    assert "resuming after step 5" in done.stdout
    assert f"single, {machine.device}, float64" in done.stdout
    return directory


def test_a_run_through_a_kill_is_that_of_the_cpu(
    machine: Machine, finished: Path, tmp_path: Path
) -> None:
    done = run("train", *SMALL, "--train.device", "cpu", "--run.dir", tmp_path / "cpu")
    assert done.returncode == 0, done.stderr
    assert figures(finished) == pytest.approx(figures(tmp_path / "cpu"), abs=machine.figures)
    for part in (".", "selection"):
        np.testing.assert_allclose(
            losses(finished / part), losses(tmp_path / "cpu" / part), machine.losses
        )


def test_the_other_commands(machine: Machine, finished: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank.h5"
    made = machine.run(
        "synthesize", "--run", finished, "--out", bank, "--per-class", 20, "--embeddings"
    )
    assert made.returncode == 0, made.stderr
    for options in (("--bank", bank), ("--details", "--shard-classes")):
        out = tmp_path / "result.json"
        measured = machine.run("evaluate", "--run", finished, "--out", out, *options)
        assert measured.returncode == 0, measured.stderr
        assert figures(tmp_path) == pytest.approx(figures(finished), abs=max(1e-3, machine.figures))
    dataset = digits_dataset()
    np.save(tmp_path / "rows.npy", dataset.features[:5])
    new = tmp_path / "new.csv"
    new.write_text("blob," + ",".join(map(str, dataset.semantics[1] + 1)) + "\n")
    predicted = machine.run(
        "predict", "--run", finished, "--features", tmp_path / "rows.npy", "--add-classes", new,
        "--out", tmp_path / "predictions.csv",
    )  # fmt: skip
    assert predicted.returncode == 0, predicted.stderr
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 6


def test_moving_means_in_half_precision_with_micro_batches_and_a_bank(
    machine: Machine, tmp_path: Path
) -> None:
    done = machine.run(
        "train", *SMALL, "--train.device", machine.device, "--run.dir", tmp_path / "run",
        "--train.steps", 3, "--evaluation.every", 3, "--loss.prototype.source", "ema",
        "--train.precision", "bfloat16", "--train.micro_batch_size", 9,
        "--evaluation.in_memory", "false",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "result.json").exists()


def test_several_processes_are_one(machine: Machine, tmp_path: Path) -> None:
    if machine.processes == 1:
        pytest.skip("one device: tests/gpu/test_ddp.py has DDP on one process")
    found = []
    for count in (1, machine.processes):
        directory = tmp_path / str(count)
        done = machine.run(
            "train", *SMALL, "--train.device", machine.device, "--run.dir", directory,
            "--train.steps", 4, "--log.every", 1, "--evaluation.calibration", "none",
            processes=count,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append((figures(directory), losses(directory)))
    assert found[0][0] == pytest.approx(found[1][0], abs=machine.figures)
    np.testing.assert_allclose(found[0][1], found[1][1], machine.losses)
