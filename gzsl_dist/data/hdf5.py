"""Opening HDF5 files that may come from anywhere: nothing in them may reach another file."""

from __future__ import annotations

from pathlib import Path

import h5py

from gzsl_dist.errors import InputError


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises:
        InputError: missing, not HDF5, truncated, or with links or data outside of itself.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        reason = "truncated" if "truncated" in str(error) else "not an HDF5 file, or damaged"
        raise InputError(f"{path}: {reason}; make it again or give another file") from None
    try:
        _refuse_outside(file, path)
    except BaseException:
        file.close()
        raise
    return file


def _refuse_outside(group: h5py.Group, path: Path) -> None:
    """Walk hard links only; any other link, external storage and virtual data are refused."""
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise InputError(
                f"{path}: {group.name}/{name} is a {type(link).__name__}; links are refused, copy "
                "the data into the file"
            )
        item = group[name]
        if isinstance(item, h5py.Group):
            _refuse_outside(item, path)
        elif isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            raise InputError(
                f"{path}: {item.name} keeps its data in another file, which is refused; copy the "
                "data into the file"
            )
