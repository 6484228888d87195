"""Writing a shard without compression: plain bytes into a file whose structure is settled."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from gzsl_dist.bank.checksums import checksum
from gzsl_dist.bank.layout import BankInfo, Shard
from gzsl_dist.bank.shard_file import create_shard
from gzsl_dist.data.hdf5 import DAMAGE, open_hdf5
from gzsl_dist.errors import InputError


class RawShardWriter:
    """Writes a shard of contiguous data sets.

    The whole file is made first, with data sets of the final size, and closed; then blocks are
    written at the data sets' offsets, and HDF5's own structures are not touched again.
    """

    def __init__(self, path: Path, info: BankInfo, shard: Shard, token: str) -> None:
        self._path, self._info, self._shard = path, info, shard
        if not path.exists():
            create_shard(path, info, shard, token, lambda file: _contiguous(file, info, shard))
        with open_hdf5(path) as file:
            try:
                if str(file.attrs["bank"]) != token:
                    raise InputError(f"{path}: part of another bank; move it away")
                names = [*info.columns, "checksums"]
                self._offsets = {name: int(file[name].id.get_offset()) for name in names}
            except DAMAGE:
                raise InputError(f"{path}: damaged; delete it, and the same command makes it "
                                 "again") from None  # fmt: skip
        self._descriptor = os.open(path, os.O_RDWR)
        self.done = self._intact()

    def write(self, block: int, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Write a block, then its checksums, which make it count."""
        sums = [checksum(arrays[name]) for name in self._info.columns]
        for name in self._info.columns:
            self._put(name, block, arrays[name])
        self._put_bytes(self._sums_at(block), memoryview(struct.pack(f"<{len(sums)}Q", *sums)))
        self.done.add(block)

    def finish(self) -> None:
        """fsync."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _intact(self) -> set[int]:
        """Blocks whose bytes are those of their checksums."""
        count, done = len(self._info.columns), set()
        for block in self._shard.blocks:
            sums = os.pread(self._descriptor, 8 * count, self._sums_at(block))
            if len(sums) == 8 * count and all(struct.unpack(f"<{count}Q", sums)):
                found = [checksum(self._get(name, block)) for name in self._info.columns]
                if struct.pack(f"<{count}Q", *found) == sums:
                    done.add(block)
        return done

    def _sums_at(self, block: int) -> int:
        index = block - self._shard.blocks.start
        return self._offsets["checksums"] + 8 * len(self._info.columns) * index

    def _place(self, name: str, block: int) -> tuple[int, int]:
        """Where a block's values begin, and how many bytes a row has."""
        dtype, width = self._info.columns[name]
        row = np.dtype(dtype).itemsize * max(1, width)
        first = self._info.block(block).start - self._shard.rows(self._info).start
        return self._offsets[name] + first * row, row

    def _put(self, name: str, block: int, array: NDArray[np.generic]) -> None:
        offset = self._place(name, block)[0]
        self._put_bytes(offset, np.ascontiguousarray(array).data.cast("B"))
        # Of dirty pages, this only starts the writing: the disk works while the next blocks are
        # made, instead of all at the end in fsync.
        if hasattr(os, "posix_fadvise"):  # macOS has none
            os.posix_fadvise(self._descriptor, offset, array.nbytes, os.POSIX_FADV_DONTNEED)

    def _put_bytes(self, offset: int, data: memoryview) -> None:
        while data:  # a write may be cut short, by a nearly full disk for one
            written = os.pwrite(self._descriptor, data, offset)
            data, offset = data[written:], offset + written

    def _get(self, name: str, block: int) -> NDArray[np.generic]:
        offset, row = self._place(name, block)
        rows = self._info.block(block)
        return np.frombuffer(
            os.pread(self._descriptor, row * (rows.stop - rows.start), offset), np.uint8
        )


def _contiguous(file: h5py.File, info: BankInfo, shard: Shard) -> None:
    """Data sets of the final size whose place in the file is settled now."""
    rows = shard.rows(info)
    count = rows.stop - rows.start
    shapes = {
        name: ((count, width) if width else (count,), dtype)
        for name, (dtype, width) in info.columns.items()
    }
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # else HDF5 writes all of it with zeros
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    for name, (shape, dtype) in shapes.items():
        h5py.h5d.create(
            file.id,
            name.encode(),
            h5py.h5t.py_create(np.dtype(dtype)),
            h5py.h5s.create_simple(shape),
            properties,
        )
    sums = np.zeros((len(shard.blocks), len(info.columns)), "<u8")
    file.create_dataset("checksums", data=sums)
