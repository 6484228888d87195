"""Every command on a device that is not the CPU: the simulated GPU, see `simulated`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.monitoring.logbook import read_metrics

from ..integration.commands import PATIENCE, ROOT, SMALL, environment, run

PROGRAM = Path(__file__).with_name("simulated.py")


def on_gpu(*arguments: object, processes: int = 1) -> subprocess.CompletedProcess[str]:
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return subprocess.run(
        [*start, str(PROGRAM), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=ROOT,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        check=False,
    )


def figures(directory: Path) -> dict[str, float]:
    result = json.loads((directory / "result.json").read_text())
    return {name: result[name] for name in ("U", "S", "H", "T1", "AUSUC")}


def losses(directory: Path) -> list[list[float]]:
    lines = read_metrics(directory / "metrics.jsonl")
    return [[value for key, value in sorted(line.items()) if "loss" in key] for line in lines]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the default method, killed in its final training and gone on with."""
    directory = tmp_path_factory.mktemp("runs") / "gpu"
    train = ("train", *SMALL, "--train.device", "cuda", "--run.dir", directory)
    killed = on_gpu("--stop", 12 + 8, *train)
    assert killed.returncode == -9, killed.stderr
    done = on_gpu(*train)
    assert done.returncode == 0, done.stderr
    assert "resuming after step 5" in done.stdout
    assert "single, cuda, float64" in done.stdout
    return directory


def test_a_run_through_a_kill_is_that_of_the_cpu(finished: Path, tmp_path: Path) -> None:
    done = run("train", *SMALL, "--train.device", "cpu", "--run.dir", tmp_path / "cpu")
    assert done.returncode == 0, done.stderr
    assert figures(finished) == pytest.approx(figures(tmp_path / "cpu"), abs=1e-9)
    for part in (".", "selection"):
        np.testing.assert_allclose(losses(finished / part), losses(tmp_path / "cpu" / part), 1e-6)


def test_the_other_commands(finished: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank.h5"
    made = on_gpu("synthesize", "--run", finished, "--out", bank, "--per-class", 20, "--embeddings")
    assert made.returncode == 0, made.stderr
    for options in (("--bank", bank), ("--details", "--shard-classes")):
        out = tmp_path / "result.json"
        measured = on_gpu("evaluate", "--run", finished, "--out", out, *options)
        assert measured.returncode == 0, measured.stderr
        assert figures(tmp_path) == pytest.approx(figures(finished), abs=1e-3)
    dataset = digits_dataset()
    np.save(tmp_path / "rows.npy", dataset.features[:5])
    new = tmp_path / "new.csv"
    new.write_text("blob," + ",".join(map(str, dataset.semantics[1] + 1)) + "\n")
    predicted = on_gpu(
        "predict", "--run", finished, "--features", tmp_path / "rows.npy", "--add-classes", new,
        "--out", tmp_path / "predictions.csv",
    )  # fmt: skip
    assert predicted.returncode == 0, predicted.stderr
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 6


def test_moving_means_in_half_precision_with_micro_batches_and_a_bank(tmp_path: Path) -> None:
    done = on_gpu(
        "train", *SMALL, "--train.device", "cuda", "--run.dir", tmp_path / "run",
        "--train.steps", 3, "--evaluation.every", 3, "--loss.prototype.source", "ema",
        "--train.precision", "bfloat16", "--train.micro_batch_size", 9,
        "--evaluation.in_memory", "false",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "result.json").exists()


def test_two_processes_are_one(tmp_path: Path) -> None:
    found = []
    for count in (1, 2):
        directory = tmp_path / str(count)
        done = on_gpu(
            "train", *SMALL, "--train.device", "cuda", "--run.dir", directory, "--train.steps", 4,
            "--log.every", 1, "--evaluation.calibration", "none", processes=count,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append((figures(directory), losses(directory)))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-9)
    np.testing.assert_allclose(found[0][1], found[1][1], 1e-6)
