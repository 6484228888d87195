"""The data set that `data.path` names."""

from __future__ import annotations

from pathlib import Path

from gzsl_dist.config import EMBEDDED
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.errors import InputError


def load_dataset(path: str, in_memory: str = "true") -> Dataset:
    """Load ``digits``, a file made by ``prepare``, or a folder made by ``simulate``.

    Raises:
        InputError: it does not exist, is no data set, or is wrong in itself.
    """
    if path == EMBEDDED:
        from gzsl_dist.data.digits import digits_dataset

        return digits_dataset()
    from gzsl_dist.data.store import read_dataset

    file = Path(path)
    if file.is_dir():
        file = file / "dataset.h5"
    if file.suffix == ".mat":
        raise InputError(
            f"data.path {path}: MATLAB files are prepared first: "
            "python -m gzsl_dist.prepare FEATURES SPLITS OUT.h5"
        )
    return read_dataset(file, in_memory)
