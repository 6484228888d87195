"""CRC-32 of blocks, and of all of a file that blocks do not cover."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gzsl_dist.data.hdf5 import hdf5_file

WRITTEN = 1 << 32  # set in every stored checksum, so that 0 says: not written yet
PIECE = 1 << 22


def checksum(array: NDArray[np.generic]) -> int:
    """CRC-32 of an array's bytes, with `WRITTEN` set."""
    return zlib.crc32(np.ascontiguousarray(array).data.cast("B")) | WRITTEN


def rest_checksum(path: Path, columns: list[str]) -> int:
    """CRC-32 of a shard without the values of contiguous data sets, which have their own.

    Of a compressed shard it covers the whole file.

    Raises:
        InputError: the file cannot be locked.
        OSError: it cannot be read.
    """
    with hdf5_file(path, "r") as file:
        covered = sorted(
            (offset, file[name].id.get_storage_size())
            for name in columns
            if (offset := file[name].id.get_offset()) is not None
        )
    end, crc = path.stat().st_size, 0
    with path.open("rb") as raw:
        for offset, size in [*covered, (end, 0)]:
            while raw.tell() < offset:
                piece = raw.read(min(PIECE, offset - raw.tell()))
                if not piece:
                    break
                crc = zlib.crc32(piece, crc)
            raw.seek(offset + size)
    return crc | WRITTEN
