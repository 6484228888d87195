"""Features, names and new classes in every format that users have, and what is refused."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from gzsl_dist.data.feature_files import open_features
from gzsl_dist.errors import InputError
from gzsl_dist.inference.files import read_features, read_names, read_new_classes
from gzsl_dist.inference.model import ZeroShotModel
from gzsl_dist.inference.own_rows import as_spelled, score_rows

from .models import card

FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3)


def write(path: Path, array: np.ndarray = FEATURES, name: str = "features") -> Path:
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, **{name: array, "labels": np.zeros(2)})
    elif path.suffix == ".mat":
        scipy.io.savemat(path, {name: array.T})
    else:
        with h5py.File(path, "w") as file:
            file[name] = array
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".h5"])
def test_all_formats_give_the_same_rows(suffix: str, tmp_path: Path) -> None:
    features = read_features(write(tmp_path / f"x{suffix}"), 3)
    assert tuple(features.shape) == (4, 3)
    assert (np.asarray(features[1:3]) == FEATURES[1:3]).all()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".h5"])
def test_another_dimension_is_refused(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="features of 3 values, the model takes 5"):
        read_features(write(tmp_path / f"x{suffix}"), 5)


@pytest.mark.parametrize("suffix", [".npy", ".mat"])
def test_transposed_features_are_recognized(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="transposed"):
        read_features(write(tmp_path / f"x{suffix}", FEATURES.T), 3)


@pytest.mark.parametrize("suffix", [".npz", ".mat", ".h5"])
def test_a_file_without_features_is_refused(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="features"):
        read_features(write(tmp_path / f"x{suffix}", name="other"), 3)


def test_the_only_array_of_an_npz_needs_no_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", whatever=FEATURES)
    assert (read_features(tmp_path / "x.npz", 3)[:] == FEATURES).all()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".h5"])
@pytest.mark.parametrize("content", [b"", b"nonsense", "half"])
def test_a_damaged_file_is_refused(suffix: str, content: bytes | str, tmp_path: Path) -> None:
    path = write(tmp_path / f"x{suffix}", np.random.default_rng(0).random((64, 3)))
    whole = path.read_bytes()
    path.write_bytes(content if isinstance(content, bytes) else whole[: len(whole) // 2])
    with pytest.raises(InputError):
        read_features(path, 3)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"x\.npy"):
        read_features(tmp_path / "x.npy", 3)


@pytest.mark.parametrize(
    ("array", "message"), [(np.zeros(3), "matrix"), (np.array([["a"] * 3]), "matrix")]
)
def test_what_is_no_matrix_of_numbers_is_refused(
    array: np.ndarray, message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(InputError, match=message):
        read_features(tmp_path / "x.npy", 3)


def test_a_missing_or_unknown_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_features(tmp_path / "x.npy", 3)
    with pytest.raises(InputError, match="ending"):
        read_features(tmp_path / "x.txt", 3)


def test_names_are_lines(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\ufeffant\n\n bee \n", encoding="utf-8")
    assert read_names(str(tmp_path / "names.txt")) == ("ant", "bee")
    assert read_names("ant, bee") == ("ant", "bee")
    (tmp_path / "names.txt").write_text("\n")
    with pytest.raises(InputError, match="no class name"):
        read_names(str(tmp_path / "names.txt"))


@pytest.mark.parametrize("header", ["", "name,wings,legs\n"])
def test_new_classes_from_csv(header: str, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(header + '"eel, long",0,1.5\nfox,-1,2e-1\n')
    names, semantics = read_new_classes(tmp_path / "new.csv")
    assert names == ("eel, long", "fox")
    np.testing.assert_array_equal(semantics, np.float32([[0, 1.5], [-1, 0.2]]))


def test_new_classes_from_matlab(tmp_path: Path) -> None:
    cells = np.array([["eel"], ["fox"]], dtype=object)
    scipy.io.savemat(tmp_path / "n.mat", {"att": np.eye(3, 2), "allclasses_names": cells})
    names, semantics = read_new_classes(tmp_path / "n.mat")
    assert names == ("eel", "fox")
    np.testing.assert_array_equal(semantics, np.float32([[1, 0, 0], [0, 1, 0]]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no class"),
        ("name,a,b\n", "no class"),
        ("eel\n", "no class"),
        ("eel,1,2\nfox,1\n", "class 2 has 1 values"),
        ("eel,1,2\nfox,1,two\n", "'two'"),
        ("eel,1,2\nfox,,2\n", "no number"),
    ],
)
def test_wrong_tables_of_new_classes_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_new_classes(tmp_path / "new.csv")


def test_what_pandas_keeps_beside_columns_is_no_feature(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"0": [0.5, 1.5], "1": [2.5, 3.5], "__index_level_0__": [7, 9]}
    parquet.write_table(arrow.table(columns), tmp_path / "x.parquet")
    np.testing.assert_array_equal(open_features(tmp_path / "x.parquet"), [[0.5, 2.5], [1.5, 3.5]])
    parquet.write_table(arrow.table(columns | {"label": [0, 1]}), tmp_path / "y.parquet")
    with pytest.raises(InputError, match="column 'label' is no feature"):
        open_features(tmp_path / "y.parquet")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_labels_with_accents_apart_are_scored(form: str) -> None:
    """As names of folders are on macOS, from which a file of labels may be made."""
    names = [unicodedata.normalize(form, name) for name in ("é", "è", "ant")]
    known = ZeroShotModel(replace(card(), classes=tuple(names), seen_count=2))
    labels = [unicodedata.normalize("NFD", name) for name in ("é", "ant", "è")]
    scores = score_rows(labels, [names[0], names[2], names[2]], known, Path("labels.txt"))
    assert (scores["U"], scores["S"]) == (1, 0.5)
    assert as_spelled(labels, names) == [names[0], names[2], names[1]]
    assert as_spelled(["é", "e\u0301"], ["e\u0301", "é"]) == ["é", "e\u0301"]
