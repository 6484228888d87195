"""Writing a shard block by block, so that a kill at any moment loses the current block at most.

HDF5 keeps no promise for a file that is open for writing when its process dies. So the two writers
here never have one open while blocks are written:

- `RawShardWriter` (no compression) makes the whole file first, with contiguous data sets of the
  final size, closes it, and then writes plain bytes at the data sets' offsets. HDF5's own
  structures are not touched again.
- `JournalShardWriter` (compression: sizes are not known before) appends compressed blocks to a
  journal beside the shard, and makes the HDF5 file from it when all blocks are there.

Both know a finished block by its checksum, which is checked on resume: the order in which the
system writes pages back does not matter, and neither fsyncs before the end of the shard.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from gzsl_dist.bank.checksums import checksum
from gzsl_dist.bank.compression import compress, filter_options
from gzsl_dist.bank.layout import AGAIN, FORMAT_VERSION, SHARD_FORMAT, BankInfo, Shard
from gzsl_dist.data.hdf5 import DAMAGE, open_hdf5
from gzsl_dist.errors import InputError

Arrays = dict[str, NDArray[np.generic]]
Fill = Callable[[h5py.File], None]


class ShardWriter(Protocol):
    """Writes one shard; `done` are the numbers of its finished blocks."""

    done: set[int]

    def write(self, block: int, arrays: Arrays) -> None:
        """Write a block's rows of every column."""

    def finish(self) -> None:
        """Make the complete shard last; nothing is written after."""

    def close(self) -> None:
        """Let go of files."""


def open_shard(path: Path, info: BankInfo, shard: Shard, token: str) -> ShardWriter:
    """Open a shard to write what it lacks, creating it where it is missing.

    Raises:
        InputError: a file of that name is damaged or no part of this bank.
        OSError: the disk is full, or the folder cannot be written.
    """
    kind = RawShardWriter if info.compression == "none" else JournalShardWriter
    return kind(path, info, shard, token)


class RawShardWriter:
    """Writes a shard of contiguous data sets."""

    def __init__(self, path: Path, info: BankInfo, shard: Shard, token: str) -> None:
        self._path, self._info, self._shard = path, info, shard
        if not path.exists():
            _create(path, info, shard, token, lambda file: _contiguous(file, info, shard))
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

    def write(self, block: int, arrays: Arrays) -> None:
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


class JournalShardWriter:
    """Writes a shard of compressed data sets, through a journal of its blocks."""

    HEADER = struct.Struct("<4sIQQII")  # mark, column, block, checksum, length, CRC-32
    MARK = b"GZB1"

    def __init__(self, path: Path, info: BankInfo, shard: Shard, token: str) -> None:
        self._path, self._info, self._shard, self._token = path, info, shard, token
        self._columns = [name for name in info.columns if name != "labels"]
        self._journal = journal_of(path)
        self._descriptor: int | None = None
        if path.exists():  # made in one piece from a complete journal
            self._journal.unlink(missing_ok=True)
            self.done = set(shard.blocks)
            return
        self._descriptor = os.open(self._journal, os.O_RDWR | os.O_CREAT, 0o666)
        self._found: dict[tuple[int, str], tuple[int, int, int]] = {}
        self._end = self._scan()
        os.ftruncate(self._descriptor, self._end)
        self.done = {
            block
            for block in shard.blocks
            if all((block, name) in self._found for name in self._columns)
        }

    def write(self, block: int, arrays: Arrays) -> None:
        """Compress a block and append it."""
        assert self._descriptor is not None
        for number, name in enumerate(self._columns):
            data = compress(arrays[name], self._chunk_rows, self._info.compression)
            self._append(block, number, checksum(arrays[name]), data)
        self.done.add(block)

    def finish(self) -> None:
        """Make the HDF5 file from the journal, and remove the journal."""
        if self._descriptor is None:
            return
        _create(self._path, self._info, self._shard, self._token, self._assemble)
        self._journal.unlink()

    def close(self) -> None:
        """Close the journal."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    @property
    def _chunk_rows(self) -> int:
        rows = self._shard.rows(self._info)
        return min(self._info.block_rows, int(rows.stop - rows.start))

    def _append(self, block: int, column: int, total: int, data: bytes) -> None:
        head = (self.MARK, column, block, total, len(data))
        crc = zlib.crc32(data, zlib.crc32(repr(head).encode()))
        record = memoryview(self.HEADER.pack(*head, crc) + data)
        start = self._end + self.HEADER.size
        while record:
            written = os.pwrite(self._descriptor or 0, record, self._end)
            record, self._end = record[written:], self._end + written
        self._found[block, self._columns[column]] = (start, len(data), total)

    def _scan(self) -> int:
        """Find the whole records; returns where the first broken one begins, or the end."""
        at: int = 0
        while True:
            header = os.pread(self._descriptor or 0, self.HEADER.size, at)
            if len(header) < self.HEADER.size:
                return at
            mark, column, block, total, length, crc = self.HEADER.unpack(header)
            if mark != self.MARK or column >= len(self._columns):
                return at
            data = os.pread(self._descriptor or 0, length, at + self.HEADER.size)
            head = (mark, column, block, total, length)
            if len(data) != length or zlib.crc32(data, zlib.crc32(repr(head).encode())) != crc:
                return at
            self._found[block, self._columns[column]] = (at + self.HEADER.size, length, total)
            at += self.HEADER.size + int(length)

    def _assemble(self, file: h5py.File) -> None:
        info, shard = self._info, self._shard
        rows, first = shard.rows(info), shard.blocks.start
        sums = np.zeros((len(shard.blocks), len(info.columns)), "<u8")
        labels = info.labels_of(rows)
        file["labels"] = labels
        for index, name in enumerate(info.columns):
            if name == "labels":
                for block in shard.blocks:
                    part = info.block(block)
                    sums[block - first, index] = checksum(
                        labels[part.start - rows.start : part.stop - rows.start]
                    )
                continue
            dtype, width = info.columns[name]
            dataset = file.create_dataset(
                name,
                (rows.stop - rows.start, width),
                dtype,
                chunks=(self._chunk_rows, width),
                **filter_options(info.compression),
            )
            for block in shard.blocks:
                offset, length, total = self._found[block, name]
                data = os.pread(self._descriptor or 0, length, offset)
                dataset.id.write_direct_chunk((info.block(block).start - rows.start, 0), data)
                sums[block - first, index] = total
        file["checksums"] = sums


def journal_of(path: Path) -> Path:
    """The journal of a compressed shard."""
    return path.with_name(f".writing-{path.name}.journal")


def finished_blocks(path: Path) -> int | None:
    """How many blocks of an unfinished shard are there, by its own account; None: no file.

    Of a journal it is not known without reading all of it: 0.
    """
    if path.exists():
        try:
            with open_hdf5(path) as file:
                sums = np.asarray(file["checksums"])
                return int((sums > 0).all(axis=1).sum())
        except (*DAMAGE, InputError):
            return 0
    return 0 if journal_of(path).exists() else None


def _create(path: Path, info: BankInfo, shard: Shard, token: str, fill: Fill) -> None:
    """Make a shard's HDF5 file beside, then rename it: where it stands, its structure is whole."""
    partial = path.with_name(f".writing-{path.name}")
    try:
        with h5py.File(
            partial, "w", libver="v110", alignment_threshold=1 << 16, alignment_interval=4096
        ) as file:
            file.attrs.update(format=SHARD_FORMAT, format_version=FORMAT_VERSION, bank=token)
            file.attrs.update(
                first_row=shard.rows(info).start, first_block=shard.blocks.start, dtype=info.dtype
            )
            fill(file)
    except RuntimeError as error:  # what h5py raises when closing fails, as on a full disk
        raise OSError(None, f"{path.name}: {str(error).splitlines()[0]}; {AGAIN}") from None
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(path)


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
