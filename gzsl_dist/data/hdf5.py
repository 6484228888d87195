"""Opening HDF5 files that may come from anywhere: nothing in them may reach another file."""

from __future__ import annotations

import errno
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py

from gzsl_dist.errors import InputError

DAMAGE = (KeyError, OSError, OverflowError, RuntimeError, TypeError, ValueError, MemoryError)
"""What h5py and numpy raise on a file whose structure or contents are broken."""

NO_LOCK = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOLCK, errno.ENOTSUP)


def hdf5_file(path: Path | BytesIO, mode: str, **options: Any) -> h5py.File:
    """`h5py.File`, which locks what it opens; a file that cannot be locked is not a damaged one.

    Raises:
        InputError: another program has the file open, or its file system has no locks.
        OSError: whatever else h5py finds.
    """
    try:
        return h5py.File(path, mode, **options)
    except OSError as error:
        if error.errno not in NO_LOCK and "unable to lock file" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: cannot be locked ({reason}); close the program that has it open, or, on a "
            "file system without locks, set HDF5_USE_FILE_LOCKING=FALSE"
        ) from None


def open_hdf5(path: Path, *, own_folder: bool = False) -> h5py.File:
    """Open an HDF5 file for reading; virtual data sets may lie in its `own_folder` if that is said.

    Raises:
        InputError: missing, unreadable, not to be locked, not HDF5, truncated, damaged, or with
            links or data outside of itself.
    """
    check_readable(path)
    try:
        file = hdf5_file(path, "r")
    except OSError as error:
        reason = "truncated" if "truncated" in str(error) else "not an HDF5 file, or damaged"
        raise InputError(f"{path}: {reason}; make it again or give another file") from None
    try:
        _refuse_outside(file, path, own_folder)
    except DAMAGE as error:
        file.close()
        raise damaged(path, error) from None
    except BaseException:
        file.close()
        raise
    return file


def check_readable(path: Path) -> None:
    """Check that a file exists and may be read.

    Raises:
        InputError: it does not, is no plain file, or may not.
    """
    try:
        if path.is_file():
            path.open("rb").close()
            return
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from None
    reason = "is no file" if path.exists() else "no such file"
    raise InputError(f"{path}: {reason}; check the path")


def damaged(path: Path, error: Exception) -> InputError:
    """The one-line error for a file that broke a reader."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(f"{path}: damaged ({reason}); make it again or give another file")


def refuse_outside_data(item: h5py.Dataset, path: Path, *, own_folder: bool = False) -> None:
    """Refuse a data set that keeps its values in another file.

    Also for what a stored reference points at: such a data set need not stand in any group.
    """
    if own_folder and item.is_virtual and not item.external:
        for source in item.virtual_sources():
            if not is_plain_name(source.file_name):
                raise InputError(
                    f"{path}: {item.name} keeps its data in {source.file_name!r}, which is no "
                    "plain name of a file in the same folder, and is refused"
                )
        return
    if item.external or item.is_virtual:
        raise InputError(
            f"{path}: {item.name} keeps its data in another file, which is refused; copy the "
            "data into the file"
        )


def is_plain_name(name: str) -> bool:
    """Whether a file name stays in its folder and is no pattern (HDF5 reads ``%`` as one)."""
    return len(name) <= 255 and bool(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name))


def _refuse_outside(file: h5py.File, path: Path, own_folder: bool) -> None:
    """Walk hard links only; any other link, external storage and virtual data are refused."""
    waiting: list[h5py.Group] = [file]
    visited: set[int] = set()  # hard links may form a circle
    while waiting:
        group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in visited:
            continue
        visited.add(address)
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise InputError(
                    f"{path}: {group.name}/{name} is a {type(link).__name__}; links are refused, "
                    "copy the data into the file"
                )
            item = group[name]
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                refuse_outside_data(item, path, own_folder=own_folder)
