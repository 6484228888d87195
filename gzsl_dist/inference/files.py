"""What a user brings to a trained model: features, lists of classes, semantics of new classes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_dist.data.dataset import FloatArray
from gzsl_dist.data.features import Features
from gzsl_dist.data.hdf5 import check_readable, open_hdf5
from gzsl_dist.data.xlsa17 import read_matlab
from gzsl_dist.errors import InputError


def read_features(path: Path, width: int) -> Features:
    """Rows of features as the model's training had them, not scaled.

    Args:
        path: ``.npy`` or ``.npz`` (``features``, or its only array), N x D; ``.h5`` (``features``,
            N x D, such as a prepared data set); ``.mat`` (``features``, D x N, one image a column).
        width: D that is expected.

    Returns:
        ``(rows, width)``, read from disk as it is used where the format allows.

    Raises:
        InputError: unreadable, without features, or of another width.
    """
    features: Any
    if path.suffix in (".npy", ".npz"):
        features = _numpy(path)
    elif path.suffix == ".mat":
        found = read_matlab(path, ("features",))
        if "features" not in found:
            raise InputError(f"{path}: lacks features; save them as D x N, one image a column")
        features = np.asarray(found["features"]).T
    elif path.suffix in (".h5", ".hdf5"):
        file = open_hdf5(path)  # stays open as long as its data set is used
        if "features" not in file or len(getattr(file["features"], "shape", ())) != 2:
            raise InputError(f"{path}: lacks a data set features, N x {width}; save them so")
        features = file["features"]
    else:
        raise InputError(f"{path}: not known by its ending; give .mat, .npy, .npz or .h5")
    if len(features.shape) != 2 or features.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: features are {features.dtype} {tuple(features.shape)}; a matrix of numbers "
            "is needed, one row an image"
        )
    rows, dim = features.shape
    if dim != width:
        hint = "extract them as those of the training were"
        if rows == width:
            hint = "they are transposed; see --help for each format's order"
        raise InputError(f"{path}: features of {dim} values, the model takes {width}; {hint}")
    return features  # type: ignore[no-any-return]


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
        raise InputError(f"{path}: not a file of numpy arrays, or damaged ({reason})") from None
    except Exception:  # zipfile and zlib raise their own
        raise InputError(f"{path}: not a file of numpy arrays, or damaged") from None
    raise InputError(f"{path}: holds {', '.join(names)}; call the right one features")


def read_names(given: str) -> tuple[str, ...]:
    """Class names: ``NAME,NAME``, or those of a text file, one a line; empty ones are skipped.

    Raises:
        InputError: unreadable, or no name.
    """
    path = Path(given)
    is_file = path.suffix == ".txt" or path.is_file()
    parts = _text(path).splitlines() if is_file else given.split(",")
    names = tuple(part.strip() for part in parts if part.strip())
    if not names:
        raise InputError(f"{given}: holds no class name; write one a line")
    return names


def read_new_classes(path: Path) -> tuple[tuple[str, ...], FloatArray]:
    """Names and semantics of classes.

    Args:
        path: ``.csv`` with lines ``name,value,value,...`` and perhaps a header; or ``.mat`` with
            ``att`` (d_a x classes) and ``allclasses_names``, as in the xlsa17 layout.

    Returns:
        Names, and ``(classes, d_a)``.

    Raises:
        InputError: unreadable, or not of this form.
    """
    if path.suffix == ".mat":
        found = read_matlab(path, ("att", "allclasses_names"))
        if len(found) < 2:
            raise InputError(f"{path}: must hold att (d_a x classes) and allclasses_names")
        cells = np.ravel(np.asarray(found["allclasses_names"]))
        names = tuple(str(np.ravel(cell)[0]) if np.size(cell) else "" for cell in cells)
        matrix = np.asarray(found["att"])
        if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or matrix.shape[1] != len(names):
            raise InputError(
                f"{path}: att is {matrix.dtype} {matrix.shape} for {len(names)} names; give one "
                "column of numbers for each"
            )
        return names, np.ascontiguousarray(matrix.T, dtype=np.float32)
    if path.suffix != ".csv":
        raise InputError(f"{path}: not known by its ending; give .csv or .mat")
    lines = [line for line in csv.reader(_text(path).splitlines()) if line]
    if lines and not _is_number(lines[0][-1]):
        lines = lines[1:]
    if not lines or len(lines[0]) < 2:
        raise InputError(f"{path}: holds no class; write lines such as name,0.1,0.2")
    for number, line in enumerate(lines, start=1):
        if len(line) != len(lines[0]):
            raise InputError(
                f"{path}: class {number} has {len(line) - 1} values, the first has "
                f"{len(lines[0]) - 1}; give each the same"
            )
        for text in line[1:]:
            if not _is_number(text):
                raise InputError(f"{path}: class {line[0]!r} has {text!r}, which is no number")
    values = np.array([[float(text) for text in line[1:]] for line in lines], dtype=np.float32)
    return tuple(line[0].strip() for line in lines), values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(path: Path) -> str:
    check_readable(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a text in UTF-8 ({error})") from None
