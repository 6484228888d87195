"""Compression by HDF5's filters, chunk by chunk outside of the file that keeps them."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gzsl_dist.errors import InputError

COMPRESSIONS = ("none", "lzf", "gzip", "zstd")


def filter_options(compression: str) -> dict[str, Any]:
    """What `h5py.Group.create_dataset` needs for a compression.

    Bytes are shuffled first: the high bytes of neighbouring values are alike.

    Raises:
        InputError: the compression needs a package that is not installed.
    """
    if compression == "zstd":
        load_plugin("zstd")
        import hdf5plugin

        return {"shuffle": True, **hdf5plugin.Zstd(clevel=3)}
    if compression == "gzip":
        return {"shuffle": True, "compression": "gzip", "compression_opts": 4}
    return {"shuffle": True, "compression": "lzf"}


def load_plugin(compression: str) -> None:
    """Make the filter known to HDF5, for writing and for reading.

    Raises:
        InputError: the package is not installed.
    """
    if compression != "zstd":
        return
    try:
        import hdf5plugin  # noqa: F401  registers its filters
    except ImportError:
        raise InputError(
            "compression zstd needs the package hdf5plugin, which is not installed; install it or "
            "use another --compression"
        ) from None


def compress(array: NDArray[np.generic], chunk_rows: int, compression: str) -> bytes:
    """One chunk ``(chunk_rows, width)`` as HDF5 stores it; fewer rows are filled up with zeros.

    An HDF5 file in memory does it, so every filter that HDF5 has works, and in its own format.
    """
    with h5py.File("chunk", "w", driver="core", backing_store=False) as scratch:
        shape = (chunk_rows, array.shape[1])
        dataset = scratch.create_dataset(
            "chunk", shape, array.dtype, chunks=shape, **filter_options(compression)
        )
        dataset[: len(array)] = array
        scratch.flush()
        mask, data = dataset.id.read_direct_chunk((0, 0))
        if mask:  # a filter gave up, which HDF5 notes in a mask that our journal does not keep
            raise InputError(f"compression {compression} failed; use another --compression")
        return bytes(data)
