"""Reading xlsa17 pairs: what comes out, and every way in which the files can be wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from gzsl_dist.data.dataset import summary
from gzsl_dist.data.xlsa17 import _from_hdf5, read_pair
from gzsl_dist.errors import InputError

from .pairs import CLASSES, ROWS, forbid_reading, variables, write_pair

Contents = dict[str, Any]


@pytest.mark.parametrize("hdf5", [False, True], ids=["v5", "v7.3"])
def test_both_formats_give_the_same_data(tmp_path: Path, hdf5: bool) -> None:
    contents = variables()
    data = read_pair(*write_pair(tmp_path, contents, hdf5=hdf5), name="birds")
    np.testing.assert_array_equal(data.features, contents["features"].T)
    np.testing.assert_array_equal(data.labels, contents["labels"].ravel() - 1)
    np.testing.assert_allclose(data.semantics, contents["att"].T, rtol=1e-6)
    assert data.classes[4] == "005.Bird_5"
    for name in ("trainval", "test_seen", "test_unseen", "train", "val"):
        np.testing.assert_array_equal(data.splits[name], contents[f"{name}_loc"].ravel() - 1)
    assert data.unseen_classes.tolist() == [1, 4]
    assert data.missing == ()
    assert data.name == "birds"


def test_formats_give_the_same_fingerprint_and_a_change_another(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("five", "seven", "changed")]
    for folder in folders:
        folder.mkdir()
    contents = variables()
    five = read_pair(*write_pair(folders[0], contents))
    seven = read_pair(*write_pair(folders[1], contents, hdf5=True))
    assert five.fingerprint == seven.fingerprint
    contents["features"][2, 7] += 1e-3
    assert read_pair(*write_pair(folders[2], contents)).fingerprint != five.fingerprint


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    contents = variables()
    for key in ("allclasses_names", "train_loc", "val_loc"):
        del contents[key]
    data = read_pair(*write_pair(tmp_path, contents))
    assert data.classes[2] == "class 3"
    assert len(data.missing) == 2
    assert "train_loc and val_loc" in data.missing[1]
    assert "val" not in data.splits


def test_validation_classes_that_overlap_are_not_used(tmp_path: Path) -> None:
    contents = variables()
    contents["train_loc"] = np.concatenate([contents["train_loc"], contents["val_loc"][:1]])
    data = read_pair(*write_pair(tmp_path, contents))
    assert "share classes" in data.missing[0]
    assert not {"train", "val"} & set(data.splits)


def test_validation_classes_that_are_unseen_are_not_used(tmp_path: Path) -> None:
    contents = variables()
    contents["val_loc"] = np.concatenate([contents["val_loc"], contents["test_unseen_loc"][:1]])
    data = read_pair(*write_pair(tmp_path, contents))
    assert "without training rows" in data.missing[0]
    assert not {"train", "val"} & set(data.splits)


def test_empty_validation_splits_count_as_missing(tmp_path: Path) -> None:
    """MATLAB writes [] to v7.3 as its shape, (0, 0), with an attribute."""
    paths = write_pair(tmp_path, variables(), hdf5=True)
    with h5py.File(paths[1], "r+") as file:
        for key in ("train_loc", "val_loc"):
            del file[key]
            file[key] = np.zeros(2, dtype=np.uint64)
            file[key].attrs["MATLAB_empty"] = np.uint8(1)
    data = read_pair(*paths)
    assert "train_loc and val_loc" in data.missing[0]
    assert "val" not in data.splits


def test_names_beyond_16_bits(tmp_path: Path) -> None:
    paths = write_pair(tmp_path, variables(), hdf5=True)
    with h5py.File(paths[1], "r+") as file:
        file["bird"] = np.frombuffer("\U0001f426".encode("utf-16-le"), dtype=np.uint16)[:, None]
        file["allclasses_names"][0, 0] = file["bird"].ref
    assert read_pair(*paths).classes[0] == "\U0001f426"


def spoil(key: str, change: Callable[[Any], Any]) -> Callable[[Contents], None]:
    def apply(contents: Contents) -> None:
        contents[key] = change(contents[key].copy())

    return apply


def put(position: Any, value: float) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array = array.astype(np.float64)
        array[position] = value
        return array

    return change


def drop(key: str) -> Callable[[Contents], None]:
    return lambda contents: contents.pop(key)


def both_seen_and_unseen(contents: Contents) -> None:
    row = contents["test_unseen_loc"][:1]
    contents["test_unseen_loc"] = contents["test_unseen_loc"][1:]
    contents["trainval_loc"] = np.concatenate([contents["trainval_loc"], row])


def untrained_class(contents: Contents) -> None:
    moved = contents["labels"][contents["trainval_loc"].ravel() - 1].ravel() == 4
    contents["test_seen_loc"] = np.concatenate(
        [contents["test_seen_loc"], contents["trainval_loc"][moved]]
    )
    contents["trainval_loc"] = contents["trainval_loc"][~moved]


def no_unseen_class(contents: Contents) -> None:
    rows = contents["trainval_loc"], contents["test_unseen_loc"]
    contents["trainval_loc"] = np.concatenate(rows)
    contents["test_unseen_loc"] = np.empty((0, 0))


def class_without_rows(contents: Contents) -> None:
    contents["att"] = np.concatenate([contents["att"], [[1], [2], [3], [4]]], axis=1)
    del contents["allclasses_names"]


@pytest.mark.parametrize("hdf5", [False, True], ids=["v5", "v7.3"])
def test_classes_without_rows_are_unseen(tmp_path: Path, hdf5: bool) -> None:
    contents = variables()
    class_without_rows(contents)
    dataset = read_pair(*write_pair(tmp_path, contents, hdf5=hdf5))
    assert dataset.unseen_classes.tolist() == [1, 4, 6]
    assert "7: 4 seen, 3 unseen, 1 of them without rows" in summary(dataset)


@pytest.mark.parametrize("hdf5", [False, True], ids=["v5", "v7.3"])
def test_a_test_split_may_be_empty(tmp_path: Path, hdf5: bool) -> None:
    contents = variables()
    kept = ~np.isin(contents["labels"].ravel(), [2, 5])
    place = np.cumsum(kept)
    contents["features"] = contents["features"][:, kept]
    contents["labels"] = contents["labels"][kept]
    for name in ("trainval_loc", "test_seen_loc", "train_loc", "val_loc"):
        contents[name] = place[contents[name] - 1]
    contents["test_unseen_loc"] = np.empty((0, 0))
    dataset = read_pair(*write_pair(tmp_path, contents, hdf5=hdf5))
    assert dataset.unseen_classes.tolist() == [1, 4]
    assert "test_unseen rows" in summary(dataset)


def one_seen_class(contents: Contents) -> None:
    seen = ~np.isin(contents["labels"], [2, 5])
    contents["labels"][seen] = 1
    contents["att"] = contents["att"][:, :5]
    del contents["allclasses_names"], contents["train_loc"], contents["val_loc"]


WRONG: dict[str, tuple[Callable[[Contents], Any], str, str]] = {
    "no features": (drop("features"), "features.mat", "lacks features"),
    "no labels": (drop("labels"), "features.mat", "lacks labels"),
    "no semantics": (drop("att"), "splits.mat", "lacks att"),
    "no split": (drop("test_seen_loc"), "splits.mat", "lacks test_seen_loc"),
    "transposed": (spoil("features", lambda f: f.T), "features.mat", "transposed; save them as D"),
    "complex features": (spoil("features", lambda f: f + 1j), "features.mat", "a full real matrix"),
    "no feature columns": (spoil("features", lambda f: f[:0]), "features.mat", "no columns"),
    "too large for float32": (spoil("features", put((2, 7), 1e300)), "features", "in 1 of 48 rows"),
    "too few columns": (spoil("features", lambda f: f[:, 1:]), "features.mat", "one column"),
    "NaN feature": (spoil("features", put((2, 7), np.nan)), "features", r"1 of 48 .* row 7 \("),
    "infinite feature": (spoil("features", put((2, 9), np.inf)), "features", r"row 9 \(from 0\);"),
    "huge feature": (spoil("features", put((2, 7), 3e38)), "features.mat", "reach 3.0e"),
    "huge semantics": (spoil("att", lambda att: 1e20 * att), "splits.mat", "scale them"),
    "tiny semantics": (spoil("att", lambda att: 1e-25 * att), "splits.mat", "scale them"),
    "NaN semantics": (spoil("att", put((1, 2), np.nan)), "semantics", "1 of 6 .* class .*Bird_3"),
    "label beyond": (spoil("labels", put((3, 0), 7)), "labels", "outside the 6 classes.* row 3"),
    "label 0": (spoil("labels", put((3, 0), 0)), "labels", "start at 1; check"),
    "labels from 0": (spoil("labels", lambda n: n - 1), "labels", "start at 1; add 1 to all"),
    "negative label": (spoil("labels", put((3, 0), -1)), "labels", "outside the 6 classes"),
    "half a label": (spoil("labels", put((3, 0), 1.5)), "labels", "whole numbers"),
    "infinite label": (spoil("labels", put((3, 0), np.inf)), "labels", "whole numbers"),
    "one-hot labels": (
        spoil("labels", lambda n: np.eye(6)[n.astype(int).ravel() - 1]),
        "labels",
        "one row or column of numbers, not 48 x 6; it is one-hot",
    ),
    "a table as labels": (
        spoil("labels", lambda n: np.hstack([n, n])), "labels", "not 48 x 2; check what was saved",
    ),
    "a mask as split": (
        spoil("test_seen_loc", lambda loc: np.isin(np.arange(1, ROWS + 1), loc)[:, None]),
        "test_seen_loc",
        r"is a mask of rows; save find\(test_seen_loc\)",
    ),
    "transposed semantics": (
        spoil("att", lambda att: att.T), "splits.mat", "att is 6 x 4 for 6 classes: transposed",
    ),
    "transposed semantics without names": (
        lambda c: c.update(att=c["att"].T, allclasses_names=None) or c.pop("allclasses_names"),
        "splits.mat",
        "att is 6 x 4 for 6 classes: transposed",
    ),
    "infinite index": (
        spoil("trainval_loc", put((0, 0), np.inf)), "trainval_loc", "whole numbers",
    ),
    "index beyond": (
        spoil("test_seen_loc", put((0, 0), ROWS + 1)), "test_seen_loc", "49 is outside the 48 rows",
    ),
    "index 0": (
        spoil("trainval_loc", lambda loc: loc - 1), "trainval_loc", "holds 0, .* start at 1",
    ),
    "one index 0": (spoil("test_seen_loc", put((0, 0), 0)), "test_seen", "start at 1 .*check"),
    "index twice": (
        spoil("trainval_loc", lambda loc: np.concatenate([loc, loc[:2]])),
        "trainval_loc",
        "more than once",
    ),
    "overlap": (
        lambda c: c.update(test_seen_loc=np.vstack([c["test_seen_loc"], c["trainval_loc"][:1]])),
        "trainval and test_seen",
        "overlap in 1 rows",
    ),
    "empty split": (spoil("trainval_loc", lambda loc: loc[:0]), "trainval", "is empty"),
    "rows in no split": (
        spoil("test_unseen_loc", lambda loc: loc[:0]), "Bird_2", "has rows, but none in .*2 such",
    ),
    "no unseen class": (
        no_unseen_class, "splits", "all 6 classes are seen",
    ),
    "seen and unseen": (both_seen_and_unseen, "Bird_2", "both seen .* and unseen"),
    "untrained class": (untrained_class, "Bird_4", "rows in test_seen but none in trainval"),
    "class without semantics": (
        spoil("att", put((slice(None), 3), 0)), "Bird_4", "no semantics",
    ),
    "constant semantics": (
        spoil("att", lambda att: np.ones_like(att)), "all classes", "the same semantics",
    ),
    "twins": (
        spoil("att", lambda att: att[:, [0, 1, 2, 3, 4, 1]]), "Bird_2' and .*Bird_6", "be disti",
    ),
    "one seen class": (one_seen_class, "1 seen class", "at least two"),
    "the same name": (
        spoil("allclasses_names", lambda names: names[[0, 1, 2, 3, 4, 1]]),
        "classes 2 and 6",
        "both called '002.Bird_2'",
    ),
    "names": (
        spoil("allclasses_names", lambda names: names[1:]), "allclasses_names", "5 names, .* 6",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("error")  # numpy would print a second line on stderr
@pytest.mark.parametrize("hdf5", [False, True], ids=["v5", "v7.3"])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_contents_are_named_in_one_line(tmp_path: Path, name: str, hdf5: bool) -> None:
    spoiler, where, what = WRONG[name]
    contents = variables()
    spoiler(contents)
    with pytest.raises(InputError, match=what) as caught:
        read_pair(*write_pair(tmp_path, contents, hdf5=hdf5))
    message = str(caught.value)
    assert re.search(where, message), message
    assert re.match(rf"{re.escape(str(tmp_path))}/(features|splits)\.mat", message), message
    assert "; " in message, "says what to do"
    assert "\n" not in message


@pytest.mark.parametrize("which", [0, 1], ids=["features", "splits"])
def test_missing_file(tmp_path: Path, which: int) -> None:
    paths = write_pair(tmp_path, variables())
    paths[which].unlink()
    with pytest.raises(InputError, match=f"{paths[which].name}: no such file"):
        read_pair(*paths)


@pytest.mark.parametrize("hdf5", [False, True], ids=["v5", "v7.3"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
@pytest.mark.parametrize("which", [0, 1], ids=["features", "splits"])
def test_truncated_file(tmp_path: Path, which: int, share: float, hdf5: bool) -> None:
    path = write_pair(tmp_path, variables(), hdf5=hdf5)[which]
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=path.name) as caught:
        read_pair(tmp_path / "features.mat", tmp_path / "splits.mat")
    assert "\n" not in str(caught.value)


def test_neither_matlab_nor_hdf5(tmp_path: Path) -> None:
    paths = write_pair(tmp_path, variables())
    paths[0].write_text("a,b,c\n" * 100)
    with pytest.raises(InputError, match="not a MATLAB file"):
        read_pair(*paths)


@pytest.mark.parametrize("kind", ["external link", "soft link", "external storage", "virtual"])
def test_hdf5_that_reaches_elsewhere_is_refused(tmp_path: Path, kind: str) -> None:
    paths = write_pair(tmp_path, variables(), hdf5=True)
    with h5py.File(paths[0], "r+") as file:
        labels = file["labels"][()]
        del file["labels"]
        if kind == "external link":
            with h5py.File(tmp_path / "other.h5", "w") as other:
                other["labels"] = labels
            file["labels"] = h5py.ExternalLink("other.h5", "/labels")
        elif kind == "soft link":
            file["kept"] = labels
            file["labels"] = h5py.SoftLink("/kept")
        elif kind == "external storage":
            (tmp_path / "raw").write_bytes(labels.tobytes())
            file.create_dataset(
                "labels", labels.shape, labels.dtype,
                external=[(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)],
            )  # fmt: skip
        else:
            with h5py.File(tmp_path / "other.h5", "w") as other:
                other["labels"] = labels
            layout = h5py.VirtualLayout(labels.shape, labels.dtype)
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "labels", labels.shape)
            file.create_virtual_dataset("labels", layout)
    with pytest.raises(InputError, match="refused"):
        read_pair(*paths)


def test_a_reference_must_not_reach_elsewhere(tmp_path: Path) -> None:
    """What a cell refers to need not stand in any group, so the walk over links may miss it."""
    (tmp_path / "secret").write_bytes(b"s\0e\0c\0")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        hidden = file.create_dataset(
            None, (3, 1), np.uint16, external=[(str(tmp_path / "secret"), 0, 6)]
        )
        cells = file.create_dataset("names", (1, 1), dtype=h5py.ref_dtype)
        cells[0, 0] = hidden.ref
        with pytest.raises(InputError, match="in another file, which is refused"):
            _from_hdf5(file, "names", tmp_path / "x.h5")


@pytest.mark.parametrize("target", ["/", "/att"])
def test_a_cell_that_holds_no_text(tmp_path: Path, target: str) -> None:
    paths = write_pair(tmp_path, variables(), hdf5=True)
    with h5py.File(paths[1], "r+") as file:
        file["allclasses_names"][0, 0] = file[target].ref
    with pytest.raises(InputError, match=r"splits\.mat: damaged \(a cell of text"):
        read_pair(*paths)


def test_a_struct_or_sparse_matrix(tmp_path: Path) -> None:
    paths = write_pair(tmp_path, variables(), hdf5=True)
    with h5py.File(paths[0], "r+") as file:
        del file["features"]
        file.create_group("features")
    with pytest.raises(InputError, match=r"features\.mat: features: must be a full array"):
        read_pair(*paths)


def test_hard_links_in_a_circle(tmp_path: Path) -> None:
    paths = write_pair(tmp_path, variables(), hdf5=True)
    with h5py.File(paths[0], "r+") as file:
        file.create_group("a")["b"] = file["/"]
    assert len(read_pair(*paths).classes) == CLASSES


def test_a_pair_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may read everything."""
    paths = write_pair(tmp_path, variables())
    forbid_reading(monkeypatch, paths[0])
    with pytest.raises(InputError, match=r"features\.mat: cannot be read \(Permission denied"):
        read_pair(*paths)


def test_the_small_pair_is_what_it_says() -> None:
    assert variables()["att"].shape[1] == CLASSES
