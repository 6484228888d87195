"""Class names in all the types and shapes that MATLAB, scipy and h5py give them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from gzsl_dist.data.xlsa17 import read_pair
from gzsl_dist.errors import InputError

from .pairs import variables, write_pair

NAMES = ("elk", "ant", "polar bear", "\u00c5l", "ox", "hen")


def replaced(folder: Path, names: Any, kind: bytes = b"") -> tuple[Path, Path]:
    """A v7.3 pair with other names."""
    paths = write_pair(folder, variables(), hdf5=True)
    with h5py.File(paths[1], "r+") as file:
        del file["allclasses_names"]
        file["allclasses_names"] = names
        if kind:
            file["allclasses_names"].attrs["MATLAB_class"] = np.bytes_(kind)
    return paths


def test_a_character_matrix_of_v5_leaves_no_blanks(tmp_path: Path) -> None:
    contents = {**variables(), "allclasses_names": np.array(NAMES)}
    assert read_pair(*write_pair(tmp_path, contents)).classes == NAMES


def test_a_character_matrix_of_v7_3_leaves_no_blanks(tmp_path: Path) -> None:
    """By its MATLAB_class alone does it differ from a matrix of numbers."""
    rows = [[ord(letter) for letter in name.ljust(10)] for name in NAMES]
    paths = replaced(tmp_path, np.array(rows, dtype=np.uint16).T, b"char")
    assert read_pair(*paths).classes == NAMES


@pytest.mark.parametrize("length", [None, 12], ids=["variable", "fixed"])
@pytest.mark.parametrize("cells", [False, True], ids=["array", "cells"])
def test_strings_written_by_h5py(tmp_path: Path, length: int | None, cells: bool) -> None:
    kind = h5py.string_dtype("utf-8", length)
    stored = np.array([name.encode() for name in NAMES], dtype=kind)
    paths = write_pair(tmp_path, variables(), hdf5=True)
    with h5py.File(paths[1], "r+") as file:
        if cells:
            for number, name in enumerate(stored):
                text = file.create_dataset(f"text{number}", (), kind, data=name)
                file["allclasses_names"][0, number] = text.ref
        else:
            del file["allclasses_names"]
            file.create_dataset("allclasses_names", data=stored, dtype=kind)
    assert read_pair(*paths).classes == NAMES


def test_numbers_in_a_cell_are_no_names(tmp_path: Path) -> None:
    """Numbers of 16 bits look like characters but for their MATLAB_class."""
    paths = write_pair(tmp_path, variables(), hdf5=True)
    with h5py.File(paths[1], "r+") as file:
        file["number"] = np.array([[65]], dtype=np.uint16)
        file["number"].attrs["MATLAB_class"] = np.bytes_(b"uint16")
        file["allclasses_names"][0, 0] = file["number"].ref
    with pytest.raises(InputError, match="a cell of text holds uint16"):
        read_pair(*paths)


@pytest.mark.parametrize("hdf5", [False, True], ids=["v5", "v7.3"])
def test_numbers_are_no_names(tmp_path: Path, hdf5: bool) -> None:
    contents = {**variables(), "allclasses_names": np.arange(1.0, 7.0)[:, None]}
    with pytest.raises(InputError, match="allclasses_names: name 1 is no text; save a cell"):
        read_pair(*write_pair(tmp_path, contents, hdf5=hdf5))


def test_a_string_array_of_v7_3(tmp_path: Path) -> None:
    stored = np.array([[0xDD000000, 2, 1, 1, 1, 1]], dtype=np.uint32)
    paths = replaced(tmp_path, stored, b"string")
    with pytest.raises(InputError, match=r"a MATLAB string array; save cellstr\(allclasses_names"):
        read_pair(*paths)


def test_a_string_array_of_v5(tmp_path: Path) -> None:
    """scipy gives it no name of its own, so it must not count as missing."""
    contents = variables()
    del contents["allclasses_names"]
    paths = write_pair(tmp_path, contents)
    scipy.io.savemat(tmp_path / "one.mat", {"x": np.arange(6, dtype=np.uint32)[:, None]})
    inner = (tmp_path / "one.mat").read_bytes()[128:]

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data.ljust(-(-len(data) // 8) * 8, b"\0")

    texts = (element(1, text) for text in (b"allclasses_names", b"MCOS", b"string"))
    opaque = element(14, element(6, struct.pack("<II", 17, 0)) + b"".join(texts) + inner)
    paths[1].write_bytes(paths[1].read_bytes() + opaque)
    with pytest.raises(InputError, match=r"a MATLAB string array; save cellstr\(allclasses_names"):
        read_pair(*paths)
