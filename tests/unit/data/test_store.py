"""Prepared files: read back equal, and refuse what is damaged or reaches elsewhere."""

from __future__ import annotations

import dataclasses
import resource
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.load import load_dataset
from gzsl_dist.data.store import read_dataset, write_dataset
from gzsl_dist.data.xlsa17 import read_pair
from gzsl_dist.errors import InputError

from .pairs import forbid_reading, variables, write_pair


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


def test_a_file_in_the_way_of_the_folder(tmp_path: Path, dataset: Dataset) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/data.h5: cannot be written \(File exists\)"):
        write_dataset(tmp_path / "file" / "data.h5", dataset)


def test_a_folder_in_the_place_of_the_file(tmp_path: Path, dataset: Dataset) -> None:
    (tmp_path / "data.h5").mkdir()
    with pytest.raises(InputError, match=r"data.h5: cannot be written \(Is a directory\)"):
        write_dataset(tmp_path / "data.h5", dataset, overwrite=True)
    assert not list(tmp_path.glob(".*")), "no partial file is left"


def test_a_full_disk_keeps_the_former_file(tmp_path: Path, dataset: Dataset) -> None:
    path = tmp_path / "data.h5"
    write_dataset(path, dataset)
    large = dataclasses.replace(dataset, features=np.ones((48, 20_000), dtype=np.float32))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(InputError, match=r"data.h5: cannot be written \(File too") as caught:
            write_dataset(path, large, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert read_dataset(path).fingerprint == dataset.fingerprint
    assert not list(tmp_path.glob(".*")), "no partial file is left"


def test_commands_that_write_the_same_file_do_not_spoil_it(
    tmp_path: Path, dataset: Dataset
) -> None:
    path = tmp_path / "data.h5"
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        for done in [pool.submit(write_dataset, path, dataset, overwrite=True) for _ in range(12)]:
            done.result()
    assert read_dataset(path).fingerprint == dataset.fingerprint
    assert not list(tmp_path.glob(".*")), "no partial file is left"


def test_a_file_that_may_not_be_read(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.h5"
    write_dataset(path, dataset)
    forbid_reading(monkeypatch, path)
    with pytest.raises(InputError, match=r"data.h5: cannot be read \(Permission denied\)"):
        read_dataset(path)


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


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("labels", 3, r"labels has shape \(\)"),
        ("labels", np.zeros((48, 1), dtype=np.int64), r"labels has shape \(48, 1\)"),
        ("splits/trainval", 3, r"split trainval has shape \(\)"),
        ("features", 3.0, r"features have shape \(\)"),
        ("features", "text", "damaged"),
        ("classes", np.arange(6), "damaged"),
        ("classes", [["a", "b"]] * 6, "for 12 class names"),
        ("splits", [1, 2], "damaged"),
    ],
)
def test_parts_of_another_shape_or_kind(
    tmp_path: Path, dataset: Dataset, key: str, value: object, message: str
) -> None:
    path = tmp_path / "data.h5"
    write_dataset(path, dataset)
    with h5py.File(path, "r+") as file:
        del file[key]
        file[key] = value
    with pytest.raises(InputError, match=rf"data\.h5: .*{message}") as caught:
        read_dataset(path)
    assert "\n" not in str(caught.value)


def test_hard_links_in_a_circle(tmp_path: Path, dataset: Dataset) -> None:
    path = tmp_path / "data.h5"
    write_dataset(path, dataset)
    with h5py.File(path, "r+") as file:
        file.create_group("a")["b"] = file["/"]
    assert read_dataset(path).fingerprint == dataset.fingerprint


def test_a_broken_tree_of_groups(tmp_path: Path, dataset: Dataset) -> None:
    path = tmp_path / "data.h5"
    write_dataset(path, dataset)
    content = bytearray(path.read_bytes())
    at = content.index(b"TREE")
    content[at : at + 4] = b"EERT"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"data\.h5: damaged") as caught:
        read_dataset(path)
    assert "\n" not in str(caught.value)


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
        ("format", [1, 2], "not a prepared data set"),
        ("format_version", [1, 2], "format version"),
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


def test_a_disk_without_room_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Semantics count too: HDF5 that finds the disk full at its end may take the process along."""
    data = digits_dataset()
    room = data.features.nbytes + 16 * len(data.labels)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=room, free=room))
    with pytest.raises(InputError, match=rf"needs \d+ bytes, {room} are free; make room"):
        write_dataset(tmp_path / "out.h5", data)
    assert not list(tmp_path.iterdir())
