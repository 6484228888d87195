"""A bank of synthetic features in one HDF5 file.

Layout (format version 1): data sets ``features`` ``(rows, d_x)`` float32 in the scaled space that
the networks work in, ``labels`` ``(rows,)`` class numbers of the data set, ``classes`` (names of
all its classes), ``scaling/minimum`` and ``scaling/extent`` ``(d_x,)``; attributes ``format``,
``format_version``, ``fingerprint`` (of the data set), ``seed``, ``step``, ``per_class`` and
``transform``. Real features x are scaled as ``(transform(x) - minimum) / extent``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gzsl_dist.data.dataset import FloatArray, IntArray
from gzsl_dist.data.hdf5 import open_hdf5
from gzsl_dist.data.scaling import Scaling
from gzsl_dist.errors import InputError

FORMAT = "gzsl_dist-bank"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class BankInfo:
    """What a bank was made from.

    Attributes:
        fingerprint: of the data set.
        classes: names of all classes of the data set.
        scaling: how real features are scaled to compare with the bank's.
        seed: of the noise.
        step: generator steps of the checkpoint.
        per_class: rows of each class.
    """

    fingerprint: str
    classes: tuple[str, ...]
    scaling: Scaling
    seed: int
    step: int
    per_class: int


def write_bank(
    path: Path, info: BankInfo, blocks: Iterable[tuple[int, FloatArray]], *, overwrite: bool
) -> None:
    """Write a bank class by class, beside first, then renamed into place.

    Args:
        path: the file to make.
        info: what the rows were made from.
        blocks: class number and its ``(per_class, d_x)`` rows, one class after another.
        overwrite: whether an existing file may be replaced.

    Raises:
        InputError: the file exists, or cannot be written.
    """
    import h5py

    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; choose another --out or give --overwrite")
    partial = path.parent / f".writing-{path.name}-{os.getpid()}"
    rows = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(partial, "w") as file:
            width = len(info.scaling.minimum)
            features = file.create_dataset(
                "features", (0, width), "float32", maxshape=(None, width), chunks=True
            )
            labels = file.create_dataset("labels", (0,), "int64", maxshape=(None,))
            for number, block in blocks:
                features.resize(rows + len(block), axis=0)
                labels.resize(rows + len(block), axis=0)
                features[rows:] = block
                labels[rows:] = number
                rows += len(block)
            file.create_dataset("classes", data=list(info.classes), dtype=h5py.string_dtype())
            file.create_dataset("scaling/minimum", data=info.scaling.minimum)
            file.create_dataset("scaling/extent", data=info.scaling.extent)
            file.attrs.update(
                format=FORMAT,
                format_version=FORMAT_VERSION,
                fingerprint=info.fingerprint,
                seed=info.seed,
                step=info.step,
                per_class=info.per_class,
                transform=info.scaling.transform,
            )
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        reason = error.strerror or str(error).splitlines()[0]
        raise InputError(f"bank {path}: cannot be written ({reason})") from None


def read_bank(path: Path, fingerprint: str, scaling: Scaling) -> tuple[FloatArray, IntArray]:
    """Read features ``(rows, d_x)`` and labels ``(rows,)`` of a bank.

    Args:
        path: the file.
        fingerprint: of the data set that the bank is used with.
        scaling: of the run that the bank is used with.

    Raises:
        InputError: missing, damaged, no bank, or made for another data set or scaling.
    """
    with open_hdf5(path) as file:
        try:
            facts = {key: file.attrs.get(key) for key in ("format", "format_version", "transform")}
            theirs = str(file.attrs.get("fingerprint"))
            features, labels = np.asarray(file["features"]), np.asarray(file["labels"])
            minimum, extent = file["scaling/minimum"][()], file["scaling/extent"][()]
            classes = len(file["classes"])
        except (KeyError, OSError, TypeError, ValueError, AttributeError):
            raise InputError(
                f"{path}: not a whole bank; make one with gzsl_dist.synthesize"
            ) from None
    if facts["format"] != FORMAT or facts["format_version"] != FORMAT_VERSION:
        raise InputError(
            f"{path}: not a bank of format {FORMAT_VERSION}; make one with gzsl_dist.synthesize"
        )
    if theirs != fingerprint:
        raise InputError(
            f"{path}: made for a data set with fingerprint {theirs[:12]}, the run has "
            f"{fingerprint[:12]}; synthesize a bank from this run"
        )
    if (
        facts["transform"] != scaling.transform
        or not np.array_equal(minimum, scaling.minimum)
        or not np.array_equal(extent, scaling.extent)
    ):
        raise InputError(
            f"{path}: its features are scaled in another way than the run's; synthesize a bank "
            "from this run"
        )
    whole = (
        features.ndim == 2
        and features.shape == (len(labels), len(scaling.minimum))
        and features.dtype.kind == "f"
        and labels.ndim == 1
        and labels.dtype.kind in "iu"
        and bool(np.isin(labels, np.arange(classes)).all())
        and bool(np.isfinite(features).all())
    )
    if not whole:
        raise InputError(f"{path}: damaged: rows, labels or values do not fit; synthesize it again")
    return features.astype(np.float32, copy=False), labels.astype(np.int64)
