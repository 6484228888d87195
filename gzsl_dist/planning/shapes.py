"""Sizes of a data set, without its values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gzsl_dist.config import EMBEDDED
from gzsl_dist.errors import InputError


@dataclass(frozen=True)
class DataShape:
    """What a step's sizes depend on: seen classes, d_x, d_a and training rows."""

    seen_count: int
    feature_dim: int
    semantic_dim: int
    rows: int


def shape_of_option(text: str) -> DataShape:
    """Of ``classes,d_x,d_a,rows``, classes and rows being those trained with.

    Raises:
        InputError: not four whole numbers of 1 or more, or fewer than two classes.
    """
    try:
        classes, features, semantics, rows = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--plan.shape {text!r}: must be four whole numbers, seen classes, d_x, d_a and "
            "training rows, as in 150,2048,1024,7057"
        ) from None
    if classes < 2 or min(features, semantics, rows) < 1:
        raise InputError(
            f"--plan.shape {text!r}: needs 2 classes or more, and 1 or more of all else"
        )
    return DataShape(classes, features, semantics, rows)


def shape_of_data(path: str) -> DataShape:
    """Of the data set that `data.path` names; of a file, only labels and training rows are read.

    Raises:
        InputError: it does not exist, or is no prepared data set.
    """
    if path == EMBEDDED:
        from gzsl_dist.data.load import load_dataset

        dataset = load_dataset(path)
        return DataShape(
            len(dataset.seen_classes),
            dataset.features.shape[1],
            dataset.semantics.shape[1],
            len(dataset.splits["trainval"]),
        )
    import numpy as np

    from gzsl_dist.data.hdf5 import DAMAGE, damaged, open_hdf5

    file = Path(path)
    if file.is_dir():
        file = file / "dataset.h5"
    if not file.exists():
        raise InputError(
            f"data.path {file}: no such file; check the path, or give its sizes by --plan.shape "
            "CLASSES,D_X,D_A,ROWS (seen classes and training rows)"
        )
    with open_hdf5(file) as opened:
        try:
            training = opened["splits/trainval"][:]
            return DataShape(
                len(np.unique(opened["labels"][:][training])),
                opened["features"].shape[1],
                opened["semantics"].shape[1],
                len(training),
            )
        except (*DAMAGE, IndexError) as error:
            raise damaged(file, error) from None
