"""Sizes of a data set, without its values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gzsl_dist.config import Config
from gzsl_dist.config.sizes import DataShape, sized
from gzsl_dist.errors import InputError

if TYPE_CHECKING:
    from gzsl_dist.data.dataset import Dataset


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


def opened(path: str) -> Dataset:
    """The data set that `data.path` names, whose features are not read.

    Raises:
        InputError: it does not exist, or is no prepared data set.
    """
    from gzsl_dist.data.load import load_dataset

    try:
        return load_dataset(path, in_memory="false")
    except InputError as error:
        raise InputError(
            f"{error}, or give its sizes by --plan.shape CLASSES,D_X,D_A,ROWS (seen classes and "
            "training rows)"
        ) from None


def shape_of(dataset: Dataset) -> DataShape:
    """Of a data set."""
    rows = len(dataset.splits["trainval"])
    sizes = dataset.features.shape[1], dataset.semantics.shape[1]
    return DataShape(len(dataset.seen_classes), *sizes, rows)


def sized_for_data(config: Config) -> Config:
    """With the numbers that its `size` means for its data, whose features are not read.

    Raises:
        InputError: they do not exist, or are no prepared data set.
    """
    if config.size is None:
        return config
    from gzsl_dist.data.load import load_dataset
    from gzsl_dist.distributed.processes import device_type

    shape = shape_of(load_dataset(config.data.path, in_memory="false"))
    return sized(config, shape, device_type(config.train.device))
