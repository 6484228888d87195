"""Using a trained model: predict, add classes, export, load."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gzsl_dist
from gzsl_dist.__main__ import main as gzsl
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.store import write_dataset
from gzsl_dist.errors import InputError

from .commands import SMALL, error_line, run, run_program
from .parts import with_rows

NEW = "6"  # an unseen digit; the last class of the data set here


def reordered() -> Dataset:
    """The digits with the class `NEW` last, so that leaving it out renumbers no other class."""
    digits = digits_dataset()
    names = [name for name in digits.classes if name != NEW] + [NEW]
    order = [digits.classes.index(name) for name in names]
    return replace(
        digits,
        labels=np.argsort(order)[digits.labels],
        semantics=digits.semantics[order],
        classes=tuple(names),
    )


def without_the_new_class() -> Dataset:
    whole = reordered()
    kept = np.flatnonzero(whole.labels != len(whole.classes) - 1)
    part = with_rows(whole, kept)
    return replace(part, semantics=whole.semantics[:-1], classes=whole.classes[:-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs: one that knew all classes, one that never heard of `NEW`."""
    folder = tmp_path_factory.mktemp("use")
    for name, dataset in (("whole", reordered()), ("part", without_the_new_class())):
        write_dataset(folder / f"{name}.h5", dataset)
        done = run(
            "train", *SMALL, "--data.path", folder / f"{name}.h5", "--run.dir", folder / name
        )
        assert done.returncode == 0, done.stderr
    digits = reordered()
    np.save(folder / "unseen.npy", digits.features[digits.splits["test_unseen"]])
    row = ",".join(map(str, digits.semantics[-1].tolist()))
    (folder / "new.csv").write_text(f"{NEW},{row}\n")
    return folder


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_are_those_that_the_run_was_scored_by(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    done = run_program(
        "predict", "--run", folder / "whole", "--features", folder / "unseen.npy", "--out", out
    )
    assert done.returncode == 0, done.stderr
    lines = lines_of(out)
    digits = reordered()
    names = np.array(digits.classes)[digits.labels[digits.splits["test_unseen"]]]
    assert [int(line["row"]) for line in lines] == list(range(len(names)))
    found = np.array([line["class"] for line in lines])
    result = json.loads((folder / "whole" / "result.json").read_text())
    for name, accuracy in result["per_class"]["unseen"].items():
        assert np.mean(found[names == name] == name) == pytest.approx(accuracy)
    assert {line["kind"] for line in lines if line["class"] in "456"} == {"unseen"}
    assert {line["calibrated"] for line in lines} == {"yes"}
    assert all(float(x["probability"]) >= float(x["probability_2"]) for x in lines)


def test_own_rows_are_scored_as_test_rows_are(folder: Path, tmp_path: Path) -> None:
    """The run's own test rows, as a user would bring them: U, S, H, classes and confusion."""
    digits, out = reordered(), tmp_path / "p.csv"
    rows = np.concatenate([digits.splits["test_seen"], digits.splits["test_unseen"]])
    names = [digits.classes[label] for label in digits.labels[rows]]
    np.save(tmp_path / "x.npy", digits.features[rows])
    table = ["id,label", *(f"digit {row},{name}" for row, name in zip(rows, names, strict=True))]
    (tmp_path / "rows.csv").write_text("\n".join(table))
    out.write_text("of an earlier call")
    done = run(
        "predict", "--run", folder / "whole", "--features", tmp_path / "x.npy", "--out", out,
        "--labels", tmp_path / "rows.csv", "--ids", tmp_path / "rows.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "p.csv (replaced): " in done.stdout
    scores = json.loads((tmp_path / "p.scores.json").read_text())
    result = json.loads((folder / "whole" / "result.json").read_text())
    for name in ("U", "S", "H"):
        assert scores[name] == pytest.approx(result[name])
        assert f"{name} {100 * result[name]:.1f}" in done.stdout
    assert scores["per_class"] == result["per_class"]
    lines = lines_of(out)
    assert [line["id"] for line in lines] == [f"digit {row}" for row in rows]
    pairs = Counter((line["label"], line["class"]) for line in lines)
    assert {(true, found): count for true, found, count in scores["confusion"]} == pairs


def test_python_gives_the_same(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    exported = tmp_path / "m.safetensors"
    done = run_program("export", "--run", folder / "whole", "--out", exported)
    assert done.returncode == 0, done.stderr
    done = run("predict", "--run", exported, "--features", folder / "unseen.npy", "--out", out)
    assert done.returncode == 0, done.stderr
    model = gzsl_dist.load(folder / "whole")
    features = np.load(folder / "unseen.npy")
    assert model.predict(features).tolist() == [line["class"] for line in lines_of(out)]
    told = [float(line["probability"]) for line in lines_of(out)]
    np.testing.assert_allclose(model.predict_proba(features).max(axis=1), told, rtol=1e-5)


def test_a_class_added_later_is_as_one_known_from_the_start(folder: Path, tmp_path: Path) -> None:
    """Training never sees unseen classes, so the two runs are one up to the classifier."""
    outs = tmp_path / "late.csv", tmp_path / "whole.csv"
    features = ("--features", folder / "unseen.npy", "--top", "10")
    late = run(
        "predict", "--run", folder / "part", *features, "--add-classes", folder / "new.csv",
        "--out", outs[0],
    )  # fmt: skip
    assert late.returncode == 0, late.stderr
    assert run("predict", "--run", folder / "whole", *features, "--out", outs[1]).returncode == 0
    ours, theirs = (lines_of(path) for path in outs)
    assert any(NEW in (line["class"], line["class_2"]) for line in ours)
    for one, other in zip(ours, theirs, strict=True):
        assert one["class"] == other["class"]
        assert float(one["probability"]) == pytest.approx(float(other["probability"]), rel=1e-4)


def test_added_classes_can_be_kept(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.safetensors"
    export = ("export", "--run", folder / "part", "--add-classes", folder / "new.csv")
    done = run(*export, "--out", kept)
    assert done.returncode == 0, done.stderr
    ((name, *values),) = csv.reader((folder / "new.csv").read_text().splitlines())
    added = gzsl_dist.add_classes(folder / "part", {name: [float(value) for value in values]})
    features = np.load(folder / "unseen.npy")
    model = gzsl_dist.load(kept)
    assert model.classes == added.classes
    assert NEW in model.classes
    np.testing.assert_array_equal(model.predict_proba(features), added.predict_proba(features))
    with pytest.raises(InputError, match="1 of 1 new classes are classes of digits already: '4'"):
        gzsl_dist.add_classes(folder / "part", {"4": [float(value) for value in values]})
    with pytest.raises(InputError, match="is a model alone"):
        gzsl_dist.add_classes(kept, {"quagga": [0.0]})
    with pytest.raises(InputError, match="give each class d_a values"):
        gzsl_dist.add_classes(folder / "part", {"quagga": 1.0})


def test_only_named_classes_compete(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("4\n5\n")
    done = run(
        "predict", "--run", folder / "part", "--features", folder / "unseen.npy",
        "--classes", tmp_path / "names.txt", "--out", tmp_path / "p.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = lines_of(tmp_path / "p.csv")
    assert {line["class"] for line in lines} <= {"4", "5"}
    assert {line["calibrated"] for line in lines} == {"no"}


def bad_inputs(folder: Path) -> dict[str, tuple[list[object], str]]:
    """Options of predict after ``--run part``, and what the one line says."""
    digits = reordered()
    features = np.load(folder / "unseen.npy")
    hole = features.copy()
    hole[5, 3] = np.nan
    np.save(folder / "nan.npy", hole)
    np.save(folder / "narrow.npy", features[:, :-1])
    (folder / "unknown.txt").write_text("4\nquagga\n")
    (folder / "short.csv").write_text("quagga,1,2\n")
    row = ",".join(map(str, digits.semantics[0].tolist()))
    (folder / "twin.csv").write_text(f"quagga,{row}\n")
    (folder / "known.csv").write_text(f"4,{row}\nquagga,{row}\n5,{row}\n")
    (folder / "labels.txt").write_text("4\n" * (len(features) - 1) + "quagga\n")
    (folder / "fours.txt").write_text("4\n" * len(features))
    (folder / "semi.csv").write_text("quagga;0,5;0,25\n")
    (folder / "latin.csv").write_bytes("élan,1\n".encode("latin1"))
    (folder / "few.csv").write_text("label\n4\n")
    (folder / "nan.csv").write_text("quagga," + ",".join(["nan"] * digits.semantics.shape[1]))
    fine = ["--features", folder / "unseen.npy"]
    return {
        "another dimension": (["--features", folder / "narrow.npy"], "63 values, the model takes"),
        "NaN": (["--features", folder / "nan.npy"], "row 5"),
        "no such file": (["--features", folder / "none.npy"], "no such file"),
        "unknown class": ([*fine, "--classes", folder / "unknown.txt"], "'quagga' is no class"),
        "short semantics": ([*fine, "--add-classes", folder / "short.csv"], "of 2 values"),
        "semantics twice": ([*fine, "--add-classes", folder / "twin.csv"], "same semantics"),
        "a known class": (
            [*fine, "--add-classes", folder / "known.csv"],
            "2 of 3 new classes are classes of digits already: '4', '5'",
        ),
        "a strange label": ([*fine, "--labels", folder / "labels.txt"], "such as 'quagga'; it"),
        "a label left out": (
            [*fine, "--labels", folder / "fours.txt", "--classes", "5,0"],
            "1 labels are classes that --classes keeps out, such as '4'; name them",
        ),
        "semicolons": ([*fine, "--add-classes", folder / "semi.csv"], "separated by semicolons"),
        "Latin-1": ([*fine, "--add-classes", folder / "latin.csv"], "iconv -f latin1 -t utf8"),
        "too few labels": ([*fine, "--labels", folder / "few.csv"], "1 lines for 544 rows"),
        "no ids": ([*fine, "--ids", folder / "few.csv"], "lacks the column 'id'"),
        "NaN semantics": ([*fine, "--add-classes", folder / "nan.csv"], "NaN"),
        "top 0": ([*fine, "--top", "0"], "not 1 or more"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        "another dimension", "NaN", "no such file", "unknown class", "short semantics",
        "semantics twice", "a known class", "NaN semantics", "top 0", "a strange label",
        "too few labels", "no ids", "a label left out", "semicolons", "Latin-1",
    ],
)  # fmt: skip
def test_wrong_input_ends_with_one_line(folder: Path, tmp_path: Path, case: str) -> None:
    options, message = bad_inputs(folder)[case]
    done = run("predict", "--run", folder / "part", *options, "--out", tmp_path / "p.csv")
    assert done.returncode == 2
    assert message in error_line(done)
    assert not (tmp_path / "p.csv").exists()


def test_an_unfinished_run_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    config = (folder / "part" / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(config)
    for command in (("export",), ("predict", "--features", folder / "unseen.npy")):
        done = run(*command, "--run", tmp_path / "run", "--out", tmp_path / "m.safetensors")
        assert done.returncode == 2
        assert "not finished" in error_line(done)


def test_an_exported_model_learns_no_new_classes(folder: Path, tmp_path: Path) -> None:
    exported = tmp_path / "m.safetensors"
    assert run("export", "--run", folder / "part", "--out", exported).returncode == 0
    done = run(
        "predict", "--run", exported, "--features", folder / "unseen.npy",
        "--add-classes", folder / "new.csv", "--out", tmp_path / "p.csv",
    )  # fmt: skip
    assert done.returncode == 2
    assert "need its run directory" in error_line(done)


def test_export_refuses_an_unknown_ending(folder: Path, tmp_path: Path) -> None:
    done = run("export", "--run", folder / "part", "--out", tmp_path / "model.pkl")
    assert done.returncode == 2
    assert ".safetensors or .onnx" in error_line(done)


def test_a_folder_carries_what_new_classes_take(folder: Path, tmp_path: Path) -> None:
    """Added from the folder, without run and data, a class is as one added from the run."""
    moved = tmp_path / "moved"
    shutil.copytree(folder / "part", moved / "run")
    shutil.copy(folder / "part.h5", moved)
    config = moved / "run" / "config.yaml"
    config.write_text(config.read_text().replace(str(folder / "part.h5"), str(moved / "part.h5")))
    first, second = tmp_path / "run2", tmp_path / "run3"
    other = (digits_dataset().semantics[0] + digits_dataset().semantics[1]).tolist()
    (tmp_path / "other.csv").write_text("other," + ",".join(map(str, other)))
    add = (sys.executable, "-m", "gzsl_dist", "add-classes")
    options = ("--run", moved / "run", "--classes", tmp_path / "other.csv", "--out", first)
    done = subprocess.run([*add, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(moved)
    again = run("export", "--run", first, "--add-classes", folder / "new.csv", "--out", second)
    assert again.returncode == 0, again.stderr
    ((_, *values),) = csv.reader((folder / "new.csv").read_text().splitlines())
    new = {NEW: [float(value) for value in values]}
    at_once = gzsl_dist.add_classes(folder / "part", {"other": other, **new})
    one_by_one = gzsl_dist.load(folder / "part").add_classes({"other": other}).add_classes(new)
    features = np.load(folder / "unseen.npy")
    expected = at_once.predict_proba(features)
    for model in (gzsl_dist.load(second), gzsl_dist.load(first).add_classes(new), one_by_one):
        assert model.classes == at_once.classes
        np.testing.assert_allclose(model.predict_proba(features), expected, rtol=1e-6)
    known = run("export", "--run", first, "--add-classes", tmp_path / "other.csv", "--out", second)
    assert "exists already; name a new folder" in error_line(known)
    nowhere = run("export", "--run", first, "--out", folder / "new.csv" / "x")
    assert "cannot be written (File exists); choose another place" in error_line(nowhere)
    with pytest.raises(InputError, match="classes of digits already: 'other'"):
        gzsl_dist.load(first).add_classes({"other": other})
    for strange in ([("other", other)], {11: other}):
        with pytest.raises(InputError, match="give a dictionary of texts"):
            gzsl_dist.load(first).add_classes(strange)
    with pytest.raises(InputError, match="'other' was added already"):
        gzsl_dist.load(folder / "part").add_classes({"other": other}).add_classes({"other": other})


def test_a_run_whose_checkpoints_are_gone_makes_no_folder(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "part", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    done = run("export", "--run", tmp_path / "run", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "has no checkpoint" in error_line(done)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("method", ["ridge", "nearest_prototype"])
def test_a_folder_of_a_baseline(method: str, tmp_path: Path) -> None:
    digits = digits_dataset()
    options = ("--method", method, "--run.dir", tmp_path / "run")
    assert run("train", *options).returncode == 0
    done = run("export", "--run", tmp_path / "run", "--out", tmp_path / "folder")
    assert done.returncode == 0, done.stderr
    new = {"other": digits.semantics[0] + digits.semantics[1]}
    models = [gzsl_dist.load(tmp_path / name).add_classes(new) for name in ("run", "folder")]
    one, other = (model.predict_proba(digits.features[:50]) for model in models)
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_add_classes_needs_classes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no classes given; give --classes FILE"):
        gzsl(["add-classes", "--run", "r", "--out", str(tmp_path / "o")])
