"""A data set of a matrix of features, a table of its rows and a file of its classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gzsl_dist.data.arrays import Dataset
from gzsl_dist.data.feature_files import open_features
from gzsl_dist.errors import InputError
from gzsl_dist.extraction.classes import ClassTable, read_classes
from gzsl_dist.extraction.splits import read_unseen
from gzsl_dist.extraction.tables import (
    ROW_SPLITS,
    alike,
    check_label,
    check_unique,
    read_lines,
    read_table,
)


def read_tables(
    features: Path,
    rows: Path,
    classes: Path,
    *,
    names: Path | None = None,
    unseen: Path | None = None,
    held_out: float = 0.2,
    seed: int = 0,
    name: str | None = None,
) -> Dataset:
    """Read and check features, their rows and their classes.

    Args:
        features: see `gzsl_dist.data.feature_files.open_features`.
        rows: a table with the column ``label`` and perhaps ``split`` (``train``, ``test`` or
            nothing), a line for each row of features; see `gzsl_dist.extraction.tables.read_table`.
        classes: a table with ``name`` and columns of numbers, perhaps ``split`` (``seen``, ``val``
            or ``unseen``); or a ``.npy`` of semantics, ``(classes, d_a)``.
        names: names of the classes of a ``.npy``, one a line.
        unseen: names of unseen classes, one a line; classes without training rows are so besides.
        held_out: see `Dataset.from_arrays`.
        seed: of the draw.
        name: what results are reported under; default the name of `features`.

    Raises:
        InputError: a file cannot be read, or its contents are wrong.
    """
    where = f"{features} with {rows} and {classes}"
    semantics, marks = _classes(classes, names)
    table = read_table(rows, needs=("label",))
    labels = [
        check_label(row["label"], f"{rows}: row {number} (from 0)")
        for number, row in enumerate(table)
    ]
    if strange := [label for label in labels if label not in semantics]:
        raise InputError(
            f"{rows}: class {strange[0]!r} ({labels.count(strange[0])} rows) is not in {classes}"
            f"{alike(strange[0], semantics)} ({len(set(strange))} such classes); add it there, or "
            "remove its rows"
        )
    splits = [str(row.get("split") or "").strip().lower() for row in table]
    if wrong := [split for split in splits if split not in ROW_SPLITS]:
        raise InputError(f"{rows}: split {wrong[0]!r} of a row; give train, test or nothing")
    matrix = open_features(features)
    if len(matrix) != len(labels):
        is_turned = matrix.shape[1] == len(labels)
        raise InputError(
            f"{features}: {len(matrix)} rows of features, {rows} has {len(labels)}; one line is "
            "needed for each row, in the same order"
            + " (the features are transposed: save .T)"
            * is_turned
        )
    chosen = {label for label, mark in marks.items() if mark == "unseen"}
    if unseen is not None:
        chosen |= read_unseen(unseen, tuple(semantics))
    return Dataset.from_arrays(
        matrix[:],
        labels,
        semantics,
        unseen=chosen,
        validation=[label for label, mark in marks.items() if mark == "val"],
        splits=[ROW_SPLITS[split] for split in splits],
        held_out=held_out,
        seed=seed,
        name=name or features.stem,
        where=where,
    )


def _classes(path: Path, names: Path | None) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Semantics and splits of classes, by name."""
    if path.suffix.lower() != ".npy":
        table: ClassTable = read_classes(path, None, with_texts=False)
        assert table.attributes is not None
        marks = dict(zip(table.names, table.splits, strict=True)) if table.splits else {}
        return dict(zip(table.names, table.attributes, strict=True)), marks
    if names is None:
        raise InputError(f"{path}: has no names; give --names FILE, one a line")
    lines = [line for line in read_lines(names) if line.strip()]
    semantics = np.asarray(open_features(path))
    if len(lines) != len(semantics):
        raise InputError(
            f"{names}: {len(lines)} names, {path} has {len(semantics)} rows; write one name a line "
            "for each"
        )
    labels = [check_label(line, f"{names}: line {number}") for number, line in enumerate(lines, 1)]
    check_unique(labels, names)
    return dict(zip(labels, semantics, strict=True)), {}
