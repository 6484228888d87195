"""Features that need not be in memory: an array, or rows of a prepared file read when asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gzsl_dist.errors import InputError

FloatArray = NDArray[np.float32]
BLOCK_ROWS = 4096


class Features(Protocol):
    """``(rows, d_x)`` float32; numpy arrays are such."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, d_x)``."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> FloatArray: ...


def blocks(features: Features) -> Iterator[FloatArray]:
    """All rows in order, `BLOCK_ROWS` at a time."""
    for first in range(0, len(features), BLOCK_ROWS):
        yield features[first : first + BLOCK_ROWS]


class StoredFeatures:
    """Rows of a file at known places, read by plain system calls: memory holds what was asked for.

    HDF5 keeps a contiguous data set in one piece, so rows, ``(rows, d_x)`` of little-endian
    float32, need no library to be found. Every process opens the file for itself, after a fork too.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, int], fingerprint: str) -> None:
        self.path, self.offset, self.shape, self.fingerprint = path, offset, shape, fingerprint
        self._opened: dict[int, int] = {}  # descriptor by process

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> FloatArray:
        """Read ``(rows, d_x)`` of a slice or of row numbers in any order.

        Raises:
            InputError: the file is shorter than it was, or cannot be read.
        """
        if isinstance(rows, slice):
            first, last, step = rows.indices(len(self))
            numbers = np.arange(first, last, step)
        else:
            numbers = np.asarray(rows)
        found = np.empty((len(numbers), self.shape[1]), dtype="<f4")
        order = np.argsort(numbers, kind="stable")
        ascending = numbers[order]
        if len(ascending) and not 0 <= ascending[0] <= ascending[-1] < len(self):
            raise IndexError(f"row {ascending[-1]} of {len(self)}")
        # neighbours in the file are read at once
        ends = np.flatnonzero(np.diff(ascending) != 1) + 1
        for run in np.split(np.arange(len(ascending)), ends):
            if len(run):
                found[order[run]] = self._read(int(ascending[run[0]]), len(run))
        return found

    def _read(self, first: int, count: int) -> FloatArray:
        width = 4 * self.shape[1]
        part = np.empty((count, self.shape[1]), dtype="<f4")
        view, done = part.reshape(-1).view(np.uint8).data, 0
        try:
            while done < len(view):
                place = self.offset + first * width + done
                got = os.preadv(self._descriptor(), [view[done:]], place)
                if not got:
                    raise InputError(f"{self.path}: was cut short while in use; prepare it again")
                done += got
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be read any more ({error.strerror}); start again when it can"
            ) from None
        return part

    def _descriptor(self) -> int:
        """This process's descriptor of the file, one for all its threads.

        Of several threads that open it at once, all but the first to be done close theirs again.
        No lock: after a fork, it might be held by a thread that the child does not have.
        """
        process = os.getpid()
        opened = self._opened.get(process)
        if opened is None:
            own = os.open(self.path, os.O_RDONLY)
            opened = self._opened.setdefault(process, own)  # atomic
            if opened != own:
                os.close(own)
        return opened

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": {}}

    def __del__(self) -> None:
        opened = getattr(self, "_opened", {}).get(os.getpid())
        if opened is not None:
            os.close(opened)
