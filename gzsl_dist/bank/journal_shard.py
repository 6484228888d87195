"""Writing a compressed shard: blocks go to a journal, of which the file is made at the end."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from gzsl_dist.bank.checksums import checksum
from gzsl_dist.bank.compression import compress, filter_options
from gzsl_dist.bank.layout import BankInfo, Shard
from gzsl_dist.bank.shard_file import create_shard, journal_of


class JournalShardWriter:
    """Writes a shard of compressed data sets, through a journal of its blocks.

    Sizes are not known before, so the file cannot be made first. A record of the journal is whole
    if its CRC-32 says so; what follows the last whole one is cut off when going on.
    """

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

    def write(self, block: int, arrays: dict[str, NDArray[np.generic]]) -> None:
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
        create_shard(self._path, self._info, self._shard, self._token, self._assemble)
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
