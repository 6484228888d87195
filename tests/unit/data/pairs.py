"""A small pair of xlsa17 files, and ways to spoil it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

CLASSES, ROWS, FEATURES, SEMANTICS = 6, 48, 5, 4


def variables() -> dict[str, Any]:
    """Contents of both files: classes 1 to 6, of which 2 and 5 are unseen, 3 is validation."""
    draw = np.random.default_rng(3)
    labels = np.arange(ROWS) % CLASSES + 1
    unseen = np.isin(labels, [2, 5])
    test_seen = ~unseen & (np.arange(ROWS) >= 36)
    validation = labels == 3
    rows = np.arange(1, ROWS + 1)
    return {
        "features": draw.gamma(1, 2, size=(FEATURES, ROWS)).astype(np.float32),
        "labels": labels[:, None].astype(np.float64),
        "att": draw.normal(size=(SEMANTICS, CLASSES)),
        "allclasses_names": np.array(
            [[f"00{number}.Bird_{number}"] for number in range(1, CLASSES + 1)], dtype=object
        ),
        "trainval_loc": rows[~unseen & ~test_seen][:, None],
        "test_seen_loc": rows[test_seen][:, None],
        "test_unseen_loc": rows[unseen][:, None],
        "train_loc": rows[~unseen & ~validation][:, None],
        "val_loc": rows[~unseen & validation][:, None],
    }


def write_pair(folder: Path, contents: dict[str, Any], *, hdf5: bool = False) -> tuple[Path, Path]:
    """Write features.mat and splits.mat as MATLAB v5 or v7.3."""
    paths = folder / "features.mat", folder / "splits.mat"
    parts = (
        {key: contents[key] for key in ("features", "labels") if key in contents},
        {key: value for key, value in contents.items() if key not in ("features", "labels")},
    )
    for path, part in zip(paths, parts, strict=True):
        if hdf5:
            write_hdf5(path, part)
        else:
            scipy.io.savemat(path, part, do_compression=True)
    return paths


def write_hdf5(path: Path, part: dict[str, Any]) -> None:
    """As MATLAB v7.3 does: a 512-byte header, columns first, cells as references to UTF-16."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, value in part.items():
            if value.dtype != object:
                file[key] = value.T
                continue
            cells = file.create_dataset(key, value.T.shape, dtype=h5py.ref_dtype)
            for index, text in enumerate(value.ravel()):
                name = f"#refs#/{key}{index}"
                file[name] = np.array([[ord(letter)] for letter in text], dtype=np.uint16)
                cells[0, index] = file[name].ref
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(116))


def forbid_reading(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """As if the file's permissions kept the user from reading it."""
    original = Path.open

    def opened(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return original(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
