"""Compression by HDF5's filters."""

from __future__ import annotations

from typing import Any

from gzsl_dist.errors import InputError


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
