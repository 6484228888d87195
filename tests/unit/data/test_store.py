"""Prepared files: read back equal, and refuse what is damaged or reaches elsewhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.load import load_dataset
from gzsl_dist.data.store import read_dataset, write_dataset
from gzsl_dist.data.xlsa17 import read_pair
from gzsl_dist.errors import InputError

from .pairs import variables, write_pair


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    contents = variables()
    del contents["allclasses_names"]
    return read_pair(*write_pair(tmp_path, contents), name="Vögel")


def test_reads_back_what_was_written(tmp_path: Path, dataset: Dataset) -> None:
    write_dataset(tmp_path / "new" / "data.h5", dataset)
    again = read_dataset(tmp_path / "new" / "data.h5")
    assert again.name == "Vögel"
    assert again.classes == dataset.classes
    assert again.missing == dataset.missing != ()
    assert again.fingerprint == dataset.fingerprint
    for key in ("features", "labels", "semantics"):
        np.testing.assert_array_equal(getattr(again, key), getattr(dataset, key))
        assert getattr(again, key).dtype == getattr(dataset, key).dtype
    assert again.splits.keys() == dataset.splits.keys()
    assert not list((tmp_path / "new").glob(".*")), "no partial file is left"


def test_an_existing_file_is_kept(tmp_path: Path, dataset: Dataset) -> None:
    path = tmp_path / "data.h5"
    path.write_text("precious")
    with pytest.raises(InputError, match=r"exists already.*--overwrite"):
        write_dataset(path, dataset)
    assert path.read_text() == "precious"
    write_dataset(path, dataset, overwrite=True)
    assert read_dataset(path).name == "Vögel"


def test_a_place_that_cannot_be_written(dataset: Dataset) -> None:
    with pytest.raises(InputError, match=r"/proc/gzsl/data.h5: cannot be written"):
        write_dataset(Path("/proc/gzsl/data.h5"), dataset)


@pytest.mark.parametrize("key", ["features", "labels", "semantics", "splits/trainval"])
def test_a_changed_value_is_noticed(tmp_path: Path, dataset: Dataset, key: str) -> None:
    path = tmp_path / "data.h5"
    write_dataset(path, dataset)
    with h5py.File(path, "r+") as file:
        values = file[key][()]
        values.flat[0] = values.flat[1]  # still valid in itself, except twice in a split
        file[key][...] = values
    with pytest.raises(InputError, match=r"fingerprint|more than once|both seen"):
        read_dataset(path)


@pytest.mark.parametrize("key", ["features", "labels", "semantics", "classes", "splits/test_seen"])
def test_a_missing_part_is_named(tmp_path: Path, dataset: Dataset, key: str) -> None:
    path = tmp_path / "data.h5"
    write_dataset(path, dataset)
    with h5py.File(path, "r+") as file:
        del file[key]
    with pytest.raises(InputError, match=r"data.h5: damaged"):
        read_dataset(path)


def test_an_external_link_is_refused(tmp_path: Path, dataset: Dataset) -> None:
    path = tmp_path / "data.h5"
    write_dataset(path, dataset)
    with h5py.File(path, "r+") as file:
        file["splits"].move("train", "former")
        file["splits/train"] = h5py.ExternalLink("other.h5", "/labels")
    with pytest.raises(InputError, match=r"splits/train is a ExternalLink"):
        read_dataset(path)


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("format", "something", "not a prepared data set"),
        ("format_version", 99, "format version 99"),
    ],
)
def test_other_formats(
    tmp_path: Path, dataset: Dataset, attribute: str, value: object, message: str
) -> None:
    path = tmp_path / "data.h5"
    write_dataset(path, dataset)
    with h5py.File(path, "r+") as file:
        file.attrs[attribute] = value
    with pytest.raises(InputError, match=message):
        read_dataset(path)


def test_truncated_and_foreign_files(tmp_path: Path, dataset: Dataset) -> None:
    path = tmp_path / "data.h5"
    write_dataset(path, dataset)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"data.h5: truncated"):
        read_dataset(path)
    path.write_text("no")
    with pytest.raises(InputError, match=r"not an HDF5 file"):
        read_dataset(path)


def test_load_dataset_knows_all_kinds_of_path(tmp_path: Path, dataset: Dataset) -> None:
    write_dataset(tmp_path / "dataset.h5", dataset)
    assert load_dataset("digits").name == "digits"
    assert load_dataset(str(tmp_path)).fingerprint == dataset.fingerprint
    assert load_dataset(str(tmp_path / "dataset.h5")).fingerprint == dataset.fingerprint
    with pytest.raises(InputError, match=r"gzsl_dist\.prepare"):
        load_dataset(str(tmp_path / "features.mat"))
    with pytest.raises(InputError, match=r"no such file"):
        load_dataset(str(tmp_path / "missing.h5"))


def test_names_do_not_change_the_fingerprint(dataset: Dataset) -> None:
    assert dataclasses.replace(dataset, name="x").fingerprint == dataset.fingerprint
    renamed = dataclasses.replace(dataset, classes=("x", *dataset.classes[1:]))
    assert renamed.fingerprint != dataset.fingerprint
