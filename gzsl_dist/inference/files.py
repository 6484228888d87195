"""What a user brings to a trained model: features, lists of classes, semantics of new classes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from gzsl_dist.data.dataset import FloatArray
from gzsl_dist.data.feature_files import open_features
from gzsl_dist.data.features import Features
from gzsl_dist.data.xlsa17 import read_matlab
from gzsl_dist.errors import InputError
from gzsl_dist.extraction.classes import is_description
from gzsl_dist.extraction.tables import (
    TABLES,
    check_commas,
    read_lines,
    read_text,
    reads_as_number,
)


def read_features(path: Path, width: int) -> Features:
    """Rows of features as the model's training had them, not scaled.

    Args:
        path: see `gzsl_dist.data.feature_files.open_features`.
        width: D that is expected.

    Returns:
        ``(rows, width)``, read from disk as it is used where the format allows.

    Raises:
        InputError: unreadable, without features, or of another width.
    """
    features = open_features(path)
    rows, dim = features.shape
    if dim != width:
        hint = "extract them as those of the training were"
        if rows == width:
            hint = "they are transposed; see --help for each format's order"
        raise InputError(f"{path}: features of {dim} values, the model takes {width}; {hint}")
    return features


def read_names(given: str) -> tuple[str, ...]:
    """Class names: ``NAME,NAME``, or those of a text file, one a line; empty ones are skipped.

    Raises:
        InputError: unreadable, or no name.
    """
    path = Path(given)
    is_file = path.suffix == ".txt" or path.is_file()
    parts = read_lines(path) if is_file else given.split(",")
    names = tuple(part.strip() for part in parts if part.strip())
    if not names:
        raise InputError(f"{given}: holds no class name; write one a line")
    return names


def is_in_words(path: Path) -> bool:
    """Whether a file of new classes describes them: a .csv whose header has name and description.

    Other tables are class files of words as well; ``.mat`` is not.

    Raises:
        InputError: it cannot be read.
    """
    if path.suffix.lower() != ".csv":
        return path.suffix.lower() in TABLES
    header = next(csv.reader(read_text(path).splitlines()[:1]), [])
    columns = [column.strip().lower() for column in header]
    return "name" in columns and any(map(is_description, columns))


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
        raise InputError(
            f"{path}: not known by its ending; give .csv, .mat, or words in .tsv, .json, .parquet"
        )
    text = read_text(path)
    check_commas(path, text)
    lines = [line for line in csv.reader(text.splitlines()) if line]
    if lines and not reads_as_number(lines[0][-1]):
        lines = lines[1:]
    if not lines or len(lines[0]) < 2:
        raise InputError(f"{path}: holds no class; write lines such as name,0.1,0.2")
    for number, line in enumerate(lines, start=1):
        if len(line) != len(lines[0]):
            raise InputError(
                f"{path}: class {number} has {len(line) - 1} values, the first has "
                f"{len(lines[0]) - 1}; give each the same"
            )
        for value in line[1:]:
            if not reads_as_number(value):
                raise InputError(
                    f"{path}: class {line[0]!r} has {value!r}, which is no number; correct it"
                )
    values = np.array([[float(value) for value in line[1:]] for line in lines], dtype=np.float32)
    return tuple(line[0].strip() for line in lines), values
