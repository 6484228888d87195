"""Features that a user brings, in the forms that numpy, HDF5, Parquet and MATLAB write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_dist.data.features import Features
from gzsl_dist.data.hdf5 import check_readable, open_hdf5
from gzsl_dist.data.xlsa17 import read_matlab
from gzsl_dist.errors import InputError

LABELS = {"label", "labels", "class", "split"}
PANDAS_INDEX = r"__index_level_\d+__"
"""Columns by which pandas keeps an index in Parquet."""

ENDINGS = (".npy", ".npz", ".parquet", ".h5", ".hdf5", ".mat")


def open_features(path: Path) -> Features:
    """Rows of features as they were extracted, not scaled.

    Args:
        path: ``.npy`` or ``.npz`` (``features``, or its only array), N x D; ``.h5`` (``features``,
            N x D, such as a prepared data set); ``.parquet`` (a column ``features`` of lists, or
            columns of numbers alone); ``.mat`` (``features``, D x N, one image a column).

    Returns:
        ``(rows, d_x)`` of any kind of number, read from disk as it is used where the format allows.

    Raises:
        InputError: unreadable, or without a matrix of numbers.
    """
    features: Any
    kind = path.suffix.lower()
    if kind in (".npy", ".npz"):
        features = _numpy(path)
    elif kind == ".mat":
        found = read_matlab(path, ("features",))
        if "features" not in found:
            raise InputError(f"{path}: lacks features; save them as D x N, one image a column")
        features = np.asarray(found["features"]).T
    elif kind in (".h5", ".hdf5"):
        file = open_hdf5(path)  # stays open as long as its data set is used
        if "features" not in file or len(getattr(file["features"], "shape", ())) != 2:
            raise InputError(f"{path}: lacks a data set features, one row an image; save them so")
        features = file["features"]
    elif kind == ".parquet":
        features = _parquet(path)
    else:
        raise InputError(f"{path}: not known by its ending; give {', '.join(ENDINGS)}")
    if len(features.shape) != 2 or features.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: features are {features.dtype} {tuple(features.shape)}; a matrix of numbers "
            "is needed, one row an image"
        )
    return features  # type: ignore[no-any-return]


def _parquet(path: Path) -> Any:
    check_readable(path)
    try:
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            f"{path}: the package pyarrow is not installed; pip install 'gzsl_dist[images]'"
        ) from None
    try:
        table = parquet.ParquetFile(path).read()
        if "features" in table.column_names:
            column = table["features"].combine_chunks()
            flat = column.flatten().to_numpy(zero_copy_only=False)
            width = len(flat) // max(len(column), 1)
            if column.null_count or any(len(row) != width for row in column):
                raise ValueError("rows of features have several lengths, or some lack them")
            return flat.reshape(len(column), width)
        names = [name for name in table.column_names if not re.fullmatch(PANDAS_INDEX, name)]
        if labels := LABELS & set(names):
            raise ValueError(f"column {min(labels)!r} is no feature; put it into the table of rows")
        return np.stack([table[name].to_numpy() for name in names], axis=1)
    except Exception as error:  # pyarrow raises its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: not a Parquet file of numbers, or damaged ({reason}); save it again"
        ) from None


def _numpy(path: Path) -> Any:
    check_readable(path)
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            return loaded
        with loaded:
            names = loaded.files
            if "features" in names:
                return loaded["features"]
            if len(names) == 1:
                return loaded[names[0]]
    except (OSError, ValueError, EOFError, KeyError) as error:
        reason = str(error).splitlines()[0]
        if "Object arrays" in reason or "Python objects" in reason:  # .npz, .npy
            raise InputError(
                f"{path}: holds Python objects, which are not loaded as they may run code; save "
                "numbers: np.save(FILE, np.stack(rows))"
            ) from None
        raise InputError(
            f"{path}: not a file of numpy arrays, or damaged ({reason}); save it again by np.save"
        ) from None
    except Exception:  # zipfile and zlib raise their own
        raise InputError(
            f"{path}: not a file of numpy arrays, or damaged; save it again by np.savez"
        ) from None
    raise InputError(f"{path}: holds {', '.join(names) or 'nothing'}; call the right one features")
