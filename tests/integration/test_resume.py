"""Going on: from another run, from nothing, after a full disk."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from gzsl_dist.distributed import checkpoint
from gzsl_dist.run.metrics import read_metrics

from .commands import PATIENCE, SMALL, command, environment, error_line, run

ARGUMENTS = (*SMALL, "--evaluation.calibration", "none", "--checkpoint.keep", "9")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 steps with checkpoints at 5, 10 and 12."""
    directory = tmp_path_factory.mktemp("runs") / "earlier"
    done = run("train", *ARGUMENTS, "--run.dir", directory)
    assert done.returncode == 0, done.stderr
    return directory


def steps_of(directory: Path) -> list[int]:
    return [found.step for found in checkpoint.checkpoints(directory / "checkpoints")]


def equal_weights(one: Path, other: Path) -> bool:
    mine, theirs = (load_file(path / "networks.safetensors") for path in (one, other))
    return all((mine[name] == theirs[name]).all() for name in theirs)


def test_never_moves_the_earlier_run_aside_and_starts_again(earlier: Path, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    shutil.copytree(earlier, directory)
    (directory / "result.json").unlink()
    done = run("train", *ARGUMENTS, "--train.resume", "never", "--run.dir", directory)
    assert done.returncode == 0, done.stderr
    assert "resuming" not in done.stdout
    assert [line["step"] for line in read_metrics(directory / "metrics.jsonl")] == [3, 6, 9, 12]
    assert steps_of(tmp_path / "run.1") == steps_of(directory) == [5, 10, 12]
    newest = "checkpoints/step-00000012"
    assert equal_weights(directory / newest, tmp_path / "run.1" / newest)


def test_a_run_starts_from_a_checkpoint_of_another(earlier: Path, tmp_path: Path) -> None:
    at_five = earlier / "checkpoints" / "step-00000005"
    done = run("train", *ARGUMENTS, "--train.resume", at_five, "--run.dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert f"resuming after step 5 of 12, from {at_five}" in done.stdout
    newest = "checkpoints/step-00000012"
    assert equal_weights(tmp_path / "run" / newest, earlier / newest)
    assert [line["step"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")] == [6, 9, 12]


def test_a_longer_run_starts_from_the_end_of_another(earlier: Path, tmp_path: Path) -> None:
    longer = (*ARGUMENTS, "--train.steps", "14", "--run.dir", tmp_path / "run")
    done = run("train", *longer, "--train.resume", earlier)
    assert done.returncode == 0, done.stderr
    assert "resuming after step 12 of 14" in done.stdout
    again = run("train", *longer, "--train.resume", earlier)
    assert "finished" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--train.resume", "nowhere"), "train.resume nowhere: no checkpoint there"),
        (("--model.noise_dim", "8"), "made with model.noise_dim = 16, this run has 8"),
        (("--method", "ce_gzsl"), "made with method = iapc, this run has ce_gzsl"),
        (("--train.steps", "9"), "is past the 9 steps"),
    ],
)
def test_what_cannot_be_gone_on_from(
    earlier: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    at_twelve = earlier / "checkpoints" / "step-00000012"
    start = ("--train.resume", at_twelve, "--run.dir", tmp_path / "run")
    # before the training of model selection, which no checkpoint is given for
    selecting = ("--evaluation.calibration", "validation")
    done = run("train", *ARGUMENTS, *selecting, *start, *arguments)
    assert message in error_line(done)
    assert not list((tmp_path / "run").glob("**/metrics.jsonl"))


def test_a_full_disk_keeps_the_older_checkpoint(earlier: Path, tmp_path: Path) -> None:
    """On a tmpfs with room for one checkpoint and a half."""
    size = sum(file.stat().st_size for file in (earlier / "checkpoints/step-00000005").iterdir())
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    train = command("train", *ARGUMENTS, "--run.dir", disk / "run")
    script = (
        f"mount -t tmpfs -o size={int(1.5 * size)} none {disk} || exit 99; "
        f'"$@"; code=$?; cp -a {disk}/run {copy}; exit $code'
    )
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *train],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(),
        check=False,
    )
    if done.returncode == 99 or "unshare:" in done.stderr:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr}")
    line = error_line(done)
    assert "step-00000010: cannot be written" in line
    assert "No space left on device" in line
    assert "older ones are kept" in line
    assert steps_of(copy) == [5]
    assert not list((copy / "checkpoints").glob(".*"))
    finished = run("train", *ARGUMENTS, "--run.dir", copy)  # with room, it goes on
    assert finished.returncode == 0, finished.stderr
    assert "resuming after step 5" in finished.stdout
    newest = "checkpoints/step-00000012"
    assert equal_weights(copy / newest, earlier / newest)
