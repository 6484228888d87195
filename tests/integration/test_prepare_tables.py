"""`prepare` without MATLAB: every form gives the same data set; wrong inputs are one line."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from pyarrow import Table, parquet

from gzsl_dist.data.store import read_dataset
from gzsl_dist.errors import InputError
from gzsl_dist.prepare import main

NAMES = ("horse", "tiger", "cow", "zebra")
LABELS = [NAMES[number % 3] for number in range(30)]
FEATURES = np.random.default_rng(0).random((30, 5)).astype(np.float32)
SEMANTICS = np.array([[0, 1], [1, 0], [2, 1], [1, 1]], dtype=np.float32)


def write_features(folder: Path, ending: str) -> Path:
    path = folder / f"x.{ending}"
    if ending == "npy":
        np.save(path, FEATURES)
    elif ending == "npz":
        np.savez(path, features=FEATURES, other=SEMANTICS)
    elif ending == "h5":
        with h5py.File(path, "w") as file:
            file["features"] = FEATURES
    elif ending == "parquet":
        parquet.write_table(Table.from_pydict({"features": list(FEATURES)}), path)
    else:  # one column a feature
        path = folder / "columns.parquet"
        parquet.write_table(
            Table.from_pydict({f"f{n}": FEATURES[:, n] for n in range(FEATURES.shape[1])}), path
        )
    return path


def write_rows(path: Path, labels: list[str] = LABELS, splits: list[str] | None = None) -> Path:
    columns: dict[str, list[str]] = {"label": labels}
    if splits:
        columns["split"] = splits
    return write_table(path, columns)


def write_classes(path: Path, **changed: Any) -> Path:
    columns = {
        "name": list(NAMES),
        "fast": SEMANTICS[:, 0].tolist(),
        "wild": SEMANTICS[:, 1].tolist(),
    }
    return write_table(path, {k: v for k, v in (columns | changed).items() if v is not None})


def write_table(path: Path, columns: dict[str, list[Any]]) -> Path:
    lines = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    if path.suffix == ".parquet":
        parquet.write_table(Table.from_pydict(columns), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(lines))
    else:
        with path.open("w", newline="") as file:
            mark = "\t" if path.suffix == ".tsv" else ","
            writer = csv.DictWriter(file, list(columns), delimiter=mark)
            writer.writeheader()
            writer.writerows(lines)
    return path


@pytest.mark.parametrize(
    ("features", "rows", "classes"),
    [
        ("npy", "csv", "csv"),
        ("npz", "parquet", "json"),
        ("h5", "csv", "parquet"),
        ("parquet", "json", "csv"),
        ("columns", "csv", "npy"),
    ],
)
def test_every_form_gives_the_same_data(
    tmp_path: Path, features: str, rows: str, classes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [write_features(tmp_path, features), write_rows(tmp_path / f"rows.{rows}")]
    options = ["--classes", str(tmp_path / f"classes.{classes}"), "--name", "mine"]
    if classes == "npy":
        np.save(tmp_path / "classes.npy", SEMANTICS)
        (tmp_path / "names.txt").write_text("\n".join(NAMES))
        options += ["--names", str(tmp_path / "names.txt")]
    else:
        write_classes(tmp_path / f"classes.{classes}")
    assert main([*map(str, given), str(tmp_path / "out.h5"), *options]) == 0
    data = read_dataset(tmp_path / "out.h5")
    np.testing.assert_array_equal(data.features, FEATURES)
    np.testing.assert_array_equal(data.semantics, SEMANTICS)
    assert [data.classes[number] for number in data.labels] == LABELS
    assert [data.classes[number] for number in data.unseen_classes] == ["zebra"]
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "trainval": 24, "test_seen": 6, "test_unseen": 0,
    }  # fmt: skip
    assert "drawn by seed 0" in capsys.readouterr().out


def test_the_example_lines_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line of the table of inputs makes the same data set as the first."""
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    lines = re.findall(r"\| `gzsl prepare (FEATURES\.[^`]*)` \|", page)
    for ending in ("npy", "npz", "h5", "parquet"):
        write_features(tmp_path, ending).rename(tmp_path / f"FEATURES.{ending}")
    scipy.io.savemat(tmp_path / "FEATURES.mat", {"features": FEATURES.T})
    for ending in ("csv", "tsv", "json", "parquet"):
        write_rows(tmp_path / f"ROWS.{ending}")
        write_classes(tmp_path / f"CLASSES.{ending}")
    np.save(tmp_path / "CLASSES.npy", SEMANTICS)
    (tmp_path / "NAMES.txt").write_text("\n".join(NAMES))
    (tmp_path / "UNSEEN.txt").write_text("zebra\n")
    monkeypatch.chdir(tmp_path)
    fingerprints = set()
    for line in lines:
        assert main([*line.split(), "--overwrite"]) == 0
        fingerprints.add(read_dataset(tmp_path / "OUT.h5").fingerprint)
    assert (len(lines), len(fingerprints)) == (9, 1)


def test_splits_of_rows_and_of_classes(tmp_path: Path) -> None:
    splits = ["test" if number >= 24 else "train" for number in range(30)]
    classes = write_classes(tmp_path / "c.csv", split=["seen", "val", "seen", "unseen"])
    (tmp_path / "unseen.txt").write_text("zebra\n")
    given = [write_features(tmp_path, "npy"), write_rows(tmp_path / "rows.csv", LABELS, splits)]
    options = ["--classes", classes, "--unseen", tmp_path / "unseen.txt"]
    assert main([*map(str, (*given, tmp_path / "out.h5", *options))]) == 0
    data = read_dataset(tmp_path / "out.h5")
    assert data.splits["test_seen"].tolist() == [24, 25, 26, 27, 28, 29]
    assert data.splits["val"].tolist() == [row for row in range(24) if row % 3 == 1]
    assert data.missing == ()


def unseen_file(folder: Path) -> list[object]:
    (folder / "unseen.txt").write_text("zebra\nyak\n")
    return ["--unseen", folder / "unseen.txt"]


def save(folder: Path, values: np.ndarray) -> None:
    np.save(folder / "x.npy", values)


SPOILT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a class that the class file lacks": (
        lambda f: write_rows(f / "rows.csv", [*LABELS[:-1], "yak"]), "'yak' .* is not in",
    ),
    "two classes of one name": (
        lambda f: write_classes(f / "c.csv", name=["horse", "tiger", "cow", "cow"]), "called 'cow'",
    ),
    "two classes of one embedding": (
        lambda f: write_classes(f / "c.csv", fast=[0, 1, 2, 1], wild=[1, 0, 1, 0]),
        "'zebra' and 'tiger'|'tiger' and 'zebra'",
    ),
    "a label with a line break": (
        lambda f: write_rows(f / "rows.csv", [*LABELS[:-1], "co\nw"]), "NUL or a line break",
    ),
    "a class with NUL": (
        lambda f: write_table(f / "c.csv", {"name": ["a\0"], "x": [1]}), r"NUL|damaged",
    ),
    "an unseen file with unknown classes": (unseen_file, "'yak' is no class"),
    "a seen class with one row": (
        lambda f: write_rows(f / "rows.csv", [*LABELS[:-1], "zebra"]), "'zebra' has one row",
    ),
    "NaN features": (lambda f: save(f, FEATURES * np.nan), "NaN or infinite"),
    "NaN semantics": (
        lambda f: write_classes(f / "c.csv", fast=[0, 1, 2, "nan"]), "'zebra' has 'nan'",
    ),
    "a missing value": (lambda f: write_classes(f / "c.csv", fast=[0, 1, 2, ""]), "give a number"),
    "a slip in a column": (
        lambda f: write_classes(f / "c.csv", fast=[0, 1, 2, "0,5x"]), "where other classes",
    ),
    "too few rows": (lambda f: save(f, FEATURES[1:]), "29 rows of features, .* has 30"),
    "transposed": (lambda f: save(f, FEATURES.T), r"5 rows of features, .* transposed: save \.T"),
    "no unseen class left": (
        lambda f: [(f / "u").write_text("\n".join(NAMES)), ["--unseen", f / "u"]][1],
        "every class is unseen",
    ),
    "one feature": (lambda f: save(f, FEATURES[:, 0]), "a matrix of numbers"),
    "words": (lambda f: save(f, FEATURES.astype(str)), "a matrix of numbers"),
    "no numbers": (lambda f: write_classes(f / "c.csv", fast=None, wild=None), "no columns of num"),
    "an unknown split": (
        lambda f: write_rows(f / "rows.csv", LABELS, ["trian"] * 30), "'trian' of a row",
    ),
    "no label": (
        lambda f: write_table(f / "rows.csv", {"class": LABELS}),
        "lacks the column 'label'; add it, or give one .* that name: class",
    ),
    "no features": (lambda f: (f / "x.npy").unlink(), "no such file"),
    "no array": (lambda f: (f / "x.npy").write_text("x"), "not a file of numpy arrays"),
    "objects": (lambda f: save(f, FEATURES.astype(object)), r"save numbers: np.save\("),
    "semicolons": (
        lambda f: (f / "c.csv").write_text("name;fast\nokapi;0,5\n"), "by semicolons; save it",
    ),
    "tabs": (lambda f: (f / "c.csv").write_text("name\tfast\n"), "by tabs; .* or call it .tsv"),
    "Latin-1": (
        lambda f: (f / "c.csv").write_bytes("name,fast\nélan,1\n".encode("latin1")),
        "not a text in UTF-8 .*iconv -f latin1 -t utf8",
    ),
    "no class file": (lambda f: (f / "c.csv").unlink(), "no such file"),
    "a held out share": (lambda f: ["--held-out", "1.5"], "below 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_wrong_inputs_are_one_line(tmp_path: Path, name: str) -> None:
    given = [write_features(tmp_path, "npy"), write_rows(tmp_path / "rows.csv")]
    options: list[object] = ["--classes", write_classes(tmp_path / "c.csv")]
    spoil, message = SPOILT[name]
    more = spoil(tmp_path)
    options += more if isinstance(more, list) else []
    with pytest.raises(InputError, match=message) as caught:
        main([*map(str, (*given, tmp_path / "out.h5", *options))])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def test_a_table_needs_its_classes(tmp_path: Path) -> None:
    given = [write_features(tmp_path, "npy"), write_rows(tmp_path / "rows.csv")]
    with pytest.raises(InputError, match=r"rows\.csv: a table of rows needs --classes"):
        main([*map(str, given), "--check"])


def test_semantics_alone_need_names(tmp_path: Path) -> None:
    given = [write_features(tmp_path, "npy"), write_rows(tmp_path / "rows.csv")]
    np.save(tmp_path / "c.npy", SEMANTICS)
    call = [*map(str, given), "--check", "--classes", str(tmp_path / "c.npy")]
    with pytest.raises(InputError, match="has no names; give --names"):
        main(call)
    (tmp_path / "names.txt").write_text("horse\ntiger\ncow\ncow\n")
    with pytest.raises(InputError, match="two classes are called 'cow'"):
        main([*call, "--names", str(tmp_path / "names.txt")])
    (tmp_path / "names.txt").write_text("\n\n".join(NAMES) + "\n  \n")
    assert main([*call, "--names", str(tmp_path / "names.txt")]) == 0
    (tmp_path / "names.txt").write_text("horse\n")
    with pytest.raises(InputError, match=r"1 names, .* has 4 rows"):
        main([*call, "--names", str(tmp_path / "names.txt")])


def test_a_hundred_thousand_classes(tmp_path: Path) -> None:
    count = 100_000
    np.save(tmp_path / "c.npy", np.random.default_rng(1).random((count, 4)).astype(np.float32))
    (tmp_path / "names.txt").write_text("\n".join([*NAMES, *map(str, range(count - 4))]))
    given = [write_features(tmp_path, "npy"), write_rows(tmp_path / "rows.csv")]
    options = ["--classes", tmp_path / "c.npy", "--names", tmp_path / "names.txt", "--check"]
    started = time.monotonic()
    assert main([*map(str, (*given, *options))]) == 0
    assert time.monotonic() - started < 60
