"""Unseen classes without rows: all works, and every output says which figures cannot be there."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.store import write_dataset
from gzsl_dist.leaderboard import main as leaderboard
from gzsl_dist.run.result import Result

from .commands import SMALL, run
from .parts import with_rows

NOTE = "no test rows of unseen classes"


def without(*names: str) -> Dataset:
    """The digits without the rows of some splits."""
    digits = digits_dataset()
    kept = np.setdiff1d(
        np.arange(len(digits.labels)), np.concatenate([digits.splits[name] for name in names])
    )
    return with_rows(digits, kept)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on two processes."""
    folder = tmp_path_factory.mktemp("rowless")
    write_dataset(folder / "data.h5", without("test_unseen"))
    given = ("--data.path", folder / "data.h5", "--run.dir", folder / "run")
    done = run("train", *SMALL, *given, "--evaluation.oracle", "true", processes=2)
    assert done.returncode == 0, done.stderr
    assert NOTE in done.stdout
    return folder


def test_the_result_has_what_can_be_measured(folder: Path) -> None:
    content = json.loads((folder / "run" / "result.json").read_text())
    assert content["S"] > 0
    assert not {"U", "H", "T1", "AUSUC"} & set(content)
    assert list(content["raw"]) == ["S"]
    assert content["curve"] == {}
    assert content["note"] == NOTE
    assert content["per_class"]["unseen"] == {}
    assert content["oracle"] is None
    assert "NaN" not in (folder / "run" / "result.json").read_text()
    result = Result.read(folder / "run" / "result.json")
    assert (result.U, result.note) == (None, NOTE)


def test_tensorboard_says_so(folder: Path) -> None:
    board = EventAccumulator(str(folder / "run" / "tensorboard")).Reload()
    assert "result/note/text_summary" in board.Tags()["tensors"]
    assert [tag for tag in board.Tags()["scalars"] if "result" in tag] == ["result/S"]


def test_again_and_evaluate(folder: Path, tmp_path: Path) -> None:
    given = ("--run", folder / "run", "--details", "--out", tmp_path / "again.json")
    done = run("evaluate", *given)
    assert done.returncode == 0, done.stderr
    assert NOTE in done.stdout
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["note"] == NOTE
    assert again["S"] == pytest.approx(json.loads((folder / "run/result.json").read_text())["S"])


def test_unseen_classes_are_synthesized_and_predicted(folder: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank.h5"
    done = run("synthesize", "--run", folder / "run", "--out", bank, "--per-class", 20)
    assert done.returncode == 0, done.stderr
    done = run("evaluate", "--run", folder / "run", "--bank", bank)
    assert (done.returncode, NOTE in done.stdout) == (0, True), done.stderr
    digits = digits_dataset()
    np.save(tmp_path / "x.npy", digits.features[digits.splits["test_unseen"]])
    given = ("--features", tmp_path / "x.npy", "--out", tmp_path / "p.csv")
    done = run("predict", "--run", folder / "run", *given)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "p.csv").open(newline="") as file:
        assert "unseen" in {line["kind"] for line in csv.DictReader(file)}


@pytest.mark.parametrize("ending", ["html", "md", "tex", "png"])
def test_reports_say_so(folder: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"report.{ending}"
    done = run("report", folder / "run", "--out", out)
    assert done.returncode == 0, done.stderr
    assert NOTE in done.stdout
    if ending != "png":
        assert NOTE in out.read_text()
        assert "nan" not in out.read_text().replace("nano", "").lower().split()


def test_sweeps_and_the_leaderboard_say_so(folder: Path, tmp_path: Path) -> None:
    """Of methods in closed form, with and without test rows of seen classes."""
    write_dataset(tmp_path / "none.h5", without("test_unseen", "test_seen"))
    for name, data in (("some", folder / "data.h5"), ("none", tmp_path / "none.h5")):
        (tmp_path / f"{name}.yaml").write_text(f"method: ridge\ndata:\n  path: {data}\n")
    study = tmp_path / "study.yaml"
    study.write_text(
        f"data: {{some: {tmp_path}/some.yaml, none: {tmp_path}/none.yaml}}\n"
        f"methods: [ridge, nearest_prototype]\ndir: {tmp_path}/runs\n"
    )
    done = run("sweep", "run", study)
    assert done.returncode == 0, done.stdout + done.stderr
    assert NOTE in done.stdout
    assert "no test rows" in run("sweep", "status", study).stdout
    outs = [part for ending in ("json", "md", "csv", "png", "html")
            for part in ("--out", tmp_path / f"study.{ending}")]  # fmt: skip
    done = run("sweep", "collect", study, *outs)
    assert done.returncode == 0, done.stderr
    for out in ("study.html", "study.md"):
        assert f"{NOTE}." in (tmp_path / out).read_text()
        assert "no test rows of unseen or seen classes." in (tmp_path / out).read_text()
    page, picture = tmp_path / "page.md", tmp_path / "page.png"
    leaderboard([str(tmp_path / "study.json"), "--out", str(page), "--picture", str(picture)])
    assert f"some: {NOTE}." in page.read_text()
    assert "none: no test rows of unseen or seen classes." in page.read_text()


def test_a_seen_class_may_have_one_row(tmp_path: Path) -> None:
    whole = without("test_unseen")
    first = int(np.flatnonzero(whole.labels == 1)[0])
    few = {name: rows[(whole.labels[rows] != 1) | (rows == first)]
           for name, rows in whole.splits.items()}  # fmt: skip
    few["trainval"] = np.union1d(few["trainval"], [first])
    few["test_seen"] = np.setdiff1d(few["test_seen"], [first])
    few["train"] = np.union1d(few["train"], [first])
    write_dataset(tmp_path / "data.h5", replace(whole, splits=few))
    done = run("train", *SMALL, "--data.path", tmp_path / "data.h5", "--run.dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
