"""Prepared data sets: one HDF5 file each."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import h5py
import numpy as np

from gzsl_dist.data.dataset import OPTIONAL_SPLITS, REQUIRED_SPLITS, Dataset
from gzsl_dist.data.features import Features, StoredFeatures, blocks
from gzsl_dist.data.hdf5 import DAMAGE, damaged, hdf5_file, open_hdf5
from gzsl_dist.data.memory import fits_in_memory
from gzsl_dist.data.validation import validate
from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_path

FORMAT = "gzsl_dist-dataset"
FORMAT_VERSION = 1


OVERHEAD = 1 << 16
"""Bytes for names, attributes and what HDF5 adds."""


def write_dataset(path: Path, dataset: Dataset, *, overwrite: bool = False) -> None:
    """Write a data set beside, then rename it into place.

    Layout: ``features`` (N, D) float32, ``labels`` (N,) and ``splits/<name>`` int64, 0-based,
    ``semantics`` (C, d_a) float32, ``classes`` (C,) UTF-8; attributes ``format``,
    ``format_version``, ``name``, ``fingerprint`` and ``missing``; perhaps ``origin``, JSON.

    Raises:
        InputError: the file exists, or cannot be written.
    """
    check_target(path, overwrite=overwrite)
    count, width = dataset.features.shape
    _check_room(path, 4 * count * width + 16 * count + 4 * dataset.semantics.size + OVERHEAD)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial, hdf5_file(partial, "w") as file:
            # contiguous, so that its rows lie at known places
            features = file.create_dataset("features", dataset.features.shape, "<f4")
            first = 0
            for block in blocks(dataset.features):
                features[first : first + len(block)] = block
                first += len(block)
            file["labels"] = dataset.labels
            file["semantics"] = dataset.semantics
            file.create_dataset("classes", data=list(dataset.classes), dtype=h5py.string_dtype())
            for name, rows in dataset.splits.items():
                file[f"splits/{name}"] = rows
            if dataset.origin:  # no attribute: those hold 64 kB at most
                file["origin"] = json.dumps(dataset.origin)
            file.attrs.update(
                format=FORMAT,
                format_version=FORMAT_VERSION,
                name=dataset.name,
                fingerprint=dataset.fingerprint,
                missing="\n".join(dataset.missing),
            )
    except (OSError, RuntimeError) as error:  # h5py raises the latter when closing fails
        told = re.search(r"errno = (\d+)", str(error))  # HDF5 may put it into its text only
        code = getattr(error, "errno", None) or (int(told[1]) if told else None)
        reason = os.strerror(code) if code else str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be written ({reason}); choose another place") from None


def _check_room(path: Path, size: int) -> None:
    """Refuse a file that the disk has no room for, before hours are spent on it."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    disk = shutil.disk_usage(folder)
    if disk.total and size > disk.free:  # a virtual file system has no size
        raise InputError(
            f"{path}: needs {size} bytes, {disk.free} are free; make room or choose another place"
        )


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse to replace a file unasked.

    Raises:
        InputError: the file exists and `overwrite` is off, or its folder may not be searched.
    """
    try:
        exists = path.exists()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); choose another place"
        ) from None
    if exists and not overwrite:
        raise InputError(f"{path}: exists already; choose another file or give --overwrite")


def read_dataset(path: Path, in_memory: str = "true") -> Dataset:
    """Read and check a data set.

    Args:
        path: the file.
        in_memory: ``true``; ``false`` leaves the features on disk, where they are neither checked
            nor compared with their fingerprint; ``auto`` decides by size.

    Raises:
        InputError: missing, not a prepared data set, damaged, or wrong in itself.
    """
    with open_hdf5(path) as file:
        try:
            # As text: comparing an attribute that is an array would not give one truth value.
            if str(file.attrs.get("format")) != FORMAT:
                raise InputError(
                    f"{path}: not a prepared data set; make one with gzsl_dist.prepare"
                )
            if str(file.attrs.get("format_version")) != str(FORMAT_VERSION):
                raise InputError(
                    f"{path}: format version {file.attrs.get('format_version')}, this program "
                    f"reads {FORMAT_VERSION}; prepare it again"
                )
            splits = file["splits"]
            dataset = Dataset(
                name=str(file.attrs["name"]),
                features=_features(path, file, in_memory),
                labels=np.asarray(file["labels"], dtype=np.int64),
                semantics=np.asarray(file["semantics"], dtype=np.float32),
                classes=tuple(map(str, file["classes"].asstr()[:].ravel())),
                splits={
                    name: np.asarray(splits[name], dtype=np.int64)
                    for name in (*REQUIRED_SPLITS, *OPTIONAL_SPLITS)
                    if name in splits or name in REQUIRED_SPLITS
                },
                missing=tuple(str(file.attrs["missing"]).splitlines()),
                origin=dict(json.loads(file["origin"].asstr()[()])) if "origin" in file else {},
            )
            fingerprint = str(file.attrs["fingerprint"])
        except DAMAGE as error:
            raise damaged(path, error) from None
    validate(dataset, str(path))
    if isinstance(dataset.features, StoredFeatures):
        return dataset
    if dataset.fingerprint != fingerprint:
        raise InputError(f"{path}: contents do not match their fingerprint; prepare it again")
    return dataset


def _features(path: Path, file: h5py.File, in_memory: str) -> Features:
    stored = file["features"]
    size = 4 * int(np.prod(stored.shape, dtype=object))
    if in_memory == "true" or (in_memory == "auto" and fits_in_memory(size)):
        return np.asarray(stored, dtype=np.float32)
    offset = stored.id.get_offset()
    if offset is None or stored.dtype != np.dtype("<f4") or stored.ndim != 2:
        raise InputError(
            f"{path}: features are not in one piece of float32 (chunked or compressed), so they "
            "cannot stay on disk; use --data.in_memory true, or prepare the data again"
        )
    if offset + size > path.stat().st_size:
        raise InputError(f"{path}: truncated; make it again or give another file")
    return StoredFeatures(path, offset, stored.shape, str(file.attrs["fingerprint"]))
