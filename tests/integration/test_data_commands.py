"""prepare and simulate as commands, on small files and on the real ones."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from gzsl_dist.config.files import read_run_config
from gzsl_dist.data.store import read_dataset
from gzsl_dist.data.xlsa17 import read_pair
from tests.unit.data.pairs import variables, write_pair

from .commands import error_line, run, run_program


def test_prepare_prints_a_summary_and_writes(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    done = run_program("prepare", *write_pair(tmp_path, variables()), out, "--name", "birds")
    assert done.returncode == 0, done.stderr
    for words in ("birds", "48 of 5 values", "6: 4 seen, 2 unseen", "trainval 24", "nothing"):
        assert words in done.stdout
    data = read_dataset(out)
    assert data.fingerprint in done.stdout
    assert data.name == "birds"
    again = error_line(run("prepare", *write_pair(tmp_path, variables()), out))
    assert "exists already" in again


def test_check_writes_nothing(tmp_path: Path) -> None:
    paths = write_pair(tmp_path, variables())
    before = sorted(tmp_path.iterdir())
    done = run("prepare", *paths, tmp_path / "out.h5", "--check")
    assert done.returncode == 0, done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_wrong_files_end_with_2_and_one_line(tmp_path: Path) -> None:
    contents = variables()
    contents["features"] = contents["features"].T
    paths = write_pair(tmp_path, contents)
    assert "transposed" in error_line(run("prepare", *paths, tmp_path / "out.h5"))
    assert not (tmp_path / "out.h5").exists()
    assert "OUT.h5 is missing" in error_line(run("prepare", *paths))
    assert "no such file" in error_line(run("prepare", tmp_path / "no.mat", paths[1], "--check"))


def test_simulated_data_train(tmp_path: Path) -> None:
    hard = ("--private", 0.5, "--difficulty")
    done = run_program("simulate", tmp_path, "--like", "awa2", "--rows", 300, *hard)
    assert done.returncode == 0, done.stderr
    assert "reaches T1 100.0 %" in done.stdout
    assert str(tmp_path / "dataset.h5") in done.stdout
    sizes = ("generator_hidden", "critic_hidden", "embedding_dim", "comparator_hidden")
    small = [part for size in sizes for part in (f"--model.{size}", "32")]
    done = run(
        "train", "--data.path", tmp_path, "--run.dir", tmp_path / "run", "--train.steps", 2,
        "--evaluation.rows_per_class", 2, "--train.batch_size", 400, *small,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "simulated-awa2, size small (hidden 32, h 32, batch 400, 2 steps)" in done.stdout
    chosen = read_run_config(tmp_path / "run")
    assert (chosen.size, chosen.model.projection_dim, chosen.train.critic_steps) == (
        "small",
        256,
        2,
    )
    assert "rows repeat" in done.stdout
    assert "at least 200" in error_line(
        run("simulate", tmp_path / "x", "--like", "awa2", "--rows", 9)
    )
    assert "--private 1: must be 0 or more, and below 1" in error_line(
        run("simulate", tmp_path / "x", "--like", "awa2", "--private", 1)
    )


@pytest.mark.shared
@pytest.mark.parametrize("semantics", ["att", "sent"])
def test_real_cub(shared_data: Path, semantics: str) -> None:
    folder = shared_data / "CUB"
    data = read_pair(folder / "vgg_fc7.mat", folder / f"{semantics}_splits.mat")
    assert data.features.shape == (11788, 4096)
    assert (len(data.seen_classes), len(data.unseen_classes)) == (150, 50)
    assert data.semantics.shape == (200, {"att": 312, "sent": 1024}[semantics])
    assert {name: len(split) for name, split in data.splits.items()} == {
        "trainval": 7057, "test_seen": 1764, "test_unseen": 2967, "train": 5875, "val": 2946,
    }  # fmt: skip
    assert data.missing == ()
    # why selection takes its rows from trainval: the published train rows hold test rows
    assert len(np.intersect1d(data.splits["train"], data.splits["test_seen"])) == 1173


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "seen", "unseen", "missing"),
    [
        ("AWA1", 40, 10, 0),
        ("AWA2", 40, 10, 1),
        ("APY", 20, 12, 1),
        ("SUN", 645, 72, 1),
        ("FLO", 82, 20, 1),
    ],
)
def test_real_splits_pass_with_made_up_features(
    shared_data: Path, tmp_path: Path, name: str, seen: int, unseen: int, missing: int
) -> None:
    """These come without features; labels are made up that fit the number of classes."""
    path = shared_data / name / "att_splits.mat"
    tables = scipy.io.loadmat(path)
    classes = tables["att"].shape[1]
    rows = max(tables[key].max() for key in tables if key.endswith("_loc"))
    labels = np.zeros(rows, dtype=np.int64)
    trainval, unseen_rows = (
        tables[f"{key}_loc"].ravel() - 1 for key in ("trainval", "test_unseen")
    )
    val = tables["val_loc"].ravel() - 1 if "val_loc" in tables else trainval[:0]
    count = seen // 3 if len(val) else 0
    seen_rows = np.concatenate([trainval, tables["test_seen_loc"].ravel() - 1])
    labels[seen_rows] = count + np.arange(len(seen_rows)) % (seen - count)
    if count:
        labels[val] = np.arange(len(val)) % count
    labels[unseen_rows] = seen + np.arange(len(unseen_rows)) % unseen
    with h5py.File(tmp_path / "features.mat", "w") as file:
        file["features"] = np.random.default_rng(0).random((rows, 2), dtype=np.float32)
        file["labels"] = labels[None] + 1
    data = read_pair(tmp_path / "features.mat", path)
    assert (len(data.seen_classes), len(data.unseen_classes)) == (seen, unseen)
    assert len(data.missing) == missing
    assert ("val" in data.splits) == (name in ("AWA1", "FLO"))
    assert len(data.classes) == classes
