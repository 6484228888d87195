"""Files that are whole or absent, never half written."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from gzsl_dist.errors import InputError

PARTIAL = ".writing-"
"""How the names of what is not yet whole begin."""


@contextmanager
def atomic_path(path: Path, *, one_writer: bool = False) -> Iterator[Path]:
    """A temporary name to write a file or a folder under; at the end it gets its own.

    All of it is fsynced before the rename, and the folder that holds it after: a power failure
    leaves what was there before, or what was written, whole. Where writing fails, what was written
    so far is removed.

    Args:
        path: the name at the end; its folder must exist. A file or folder there is replaced.
        one_writer: whether a lock keeps other processes from writing it: then the temporary name
            is always the same, and what a killed process left under it is replaced.

    Raises:
        OSError: it cannot be written.
    """
    unique = "" if one_writer else f"-{uuid.uuid4().hex[:12]}"
    partial = path.with_name(f"{PARTIAL}{path.name}{unique}")
    _remove(partial)
    try:
        yield partial
        for inner in partial.rglob("*"):
            sync(inner)
        if partial.is_dir():  # a file is replaced in one go, a folder must be gone before
            _remove(path)
        rename(partial, path)
    except BaseException:
        _remove(partial)
        raise


def rename(partial: Path, path: Path) -> None:
    """Give what is whole its name, on the disk too.

    Raises:
        OSError: it cannot be synced or renamed.
    """
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write text (as UTF-8) or bytes by `atomic_path`, making folders that are missing.

    Raises:
        InputError: it cannot be written; an older file stays as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); make room, or choose another place"
        ) from None


def exclusive_lock(place: Path, name: str, *, busy: str, remedy: str) -> IO[str]:
    """Lock a file, making it where it is missing; the lock goes with the process that holds it.

    Args:
        place: the file that is locked, and stays open as long as the lock is held.
        name: what is kept from other jobs, as errors call it.
        busy: the error where another job holds the lock, or has just removed the file.
        remedy: what to do where the file system has no locks.

    Raises:
        InputError: it cannot be locked.
        OSError: it cannot be opened.
    """
    file = place.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(place.stat(), os.fstat(file.fileno())):
            raise BlockingIOError  # a job that just ended removed it, another made it anew
    except (BlockingIOError, FileNotFoundError):
        file.close()
        raise InputError(busy) from None
    except OSError as error:  # a network file system without locks
        file.close()
        raise InputError(f"{name}: cannot be locked ({error.strerror}); {remedy}") from None
    return file


def _remove(path: Path) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def write_at(descriptor: int, values: memoryview, place: int) -> None:
    """Write all of contiguous `values` at a place of an open file.

    Raises:
        OSError: the disk is full, for one.
    """
    data = values.cast("B") if values.nbytes else values
    while data.nbytes:  # a write may be cut short, by a nearly full disk for one
        written = os.pwrite(descriptor, data, place)
        data, place = data[written:], place + written


def sync(path: Path) -> None:
    """Have a file, or a folder's entries, on the disk before anything that follows."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems cannot sync a folder; there is no more to be done.
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.EOPNOTSUPP)):
            raise
    finally:
        os.close(descriptor)


def read_json_object(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON file's object.

    Raises:
        InputError: missing, unreadable or no object; `remedy` says what to do.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except ValueError:
        raise InputError(f"{path}: damaged, not JSON; {remedy}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: damaged, holds no object; {remedy}")
    return values
