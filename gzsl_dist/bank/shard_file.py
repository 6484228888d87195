"""One shard of a bank: reading its rows, and writing them so that a kill loses little.

HDF5 keeps no promise for a file that is open for writing when its process dies. So an uncompressed
shard gets its structure first and is closed; then blocks are written as plain bytes at the places
of its data sets, each followed by its checksum, which is checked on resuming: the order in which
the system writes pages back does not matter. A compressed shard, whose sizes are not known before,
is small (`gzsl_dist.bank.layout.SHARD_BYTES`), made in memory and renamed into place when written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gzsl_dist.bank.bank_file import Bank, checksum, new_file, seal
from gzsl_dist.bank.compression import load_plugin
from gzsl_dist.bank.layout import AGAIN, Shard, to_stored
from gzsl_dist.data.hdf5 import DAMAGE, damaged, open_hdf5
from gzsl_dist.errors import InputError
from gzsl_dist.files import sync, write_at

MakeBlock = Callable[[slice], dict[str, Tensor]]


class ShardFile:
    """An open shard.

    Contiguous data sets are read and written at their offsets, which needs neither HDF5's lock nor
    Python's, so a thread that does so runs beside the training; compressed ones are read by HDF5.

    Args:
        path: the file.
        bank: whose it is.
        shard: its place in the bank.
        writing: whether rows are to be written.

    Raises:
        InputError: missing, truncated, damaged or not part of the bank.
    """

    def __init__(self, path: Path, bank: Bank, shard: Shard, *, writing: bool = False) -> None:
        self._path, self._info, self._shard = path, bank.info, shard
        load_plugin(bank.info.compression)
        if not path.exists():
            raise InputError(
                f"{path}: missing, a shard of the bank; copy all files of a bank together, or "
                f"{AGAIN}"
            )
        self._file, rows = open_hdf5(path), bank.info.rows_of(shard.blocks)
        self._first = rows.start
        try:
            if str(self._file.attrs["bank"]) != bank.token:
                raise InputError(f"{path}: a shard of another bank; copy the bank's own shards")
            shapes = bank.info.shapes(rows) | {"checksums": ((len(shard.blocks),), "<u8")}
            for name, (shape, dtype) in shapes.items():
                if self._file[name].shape != shape or self._file[name].dtype != dtype:
                    raise ValueError(f"{name} of another shape or type than the bank's")
            self.checksums = self._file["checksums"][:]
            self._offsets = {name: self._file[name].id.get_offset() for name in shapes}
            self._descriptor = os.open(path, os.O_RDWR if writing else os.O_RDONLY)
        except (*DAMAGE, InputError) as error:
            self._file.close()
            raise error if isinstance(error, InputError) else damaged(path, error) from None
        if bank.info.compression == "none":
            self._file.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        os.close(self._descriptor)

    def read(self, name: str, row: int, out: NDArray[np.generic]) -> None:
        """Read a column from a row of the bank on, as many rows as `out` has, into `out`.

        Raises:
            InputError: the file ends early or a chunk is damaged.
        """
        first, offset = row - self._first, self._offsets[name]
        try:
            if offset is None:
                self._file[name].read_direct(out, np.s_[first : first + len(out)])
                return
            data = out.reshape(-1).view(np.uint8).data
            place = offset + first * (data.nbytes // max(1, len(out)))
            while data:
                got = os.preadv(self._descriptor, [data], place)
                if not got:
                    raise InputError(f"{self._path}: truncated; {AGAIN}")
                data, place = data[got:], place + got
        except DAMAGE as error:
            raise damaged(self._path, error) from None

    def write(self, block: int, arrays: list[NDArray[np.generic]]) -> None:
        """Write a block of each value column, then its checksum, which makes it count."""
        first = self._info.block(block).start - self._first
        for name, array in zip(self._info.value_columns, arrays, strict=True):
            offset = self._offsets[name] + first * (array.nbytes // len(array))
            write_at(self._descriptor, array.data, offset)
            # Of dirty pages, this only starts the writing: the disk works while the next blocks
            # are made, instead of all at the end in fsync.
            if hasattr(os, "posix_fadvise"):  # macOS has none
                os.posix_fadvise(self._descriptor, offset, array.nbytes, os.POSIX_FADV_DONTNEED)
        index = block - self._shard.blocks.start
        mark = np.array([checksum(arrays)], "<u8").data
        write_at(self._descriptor, mark, self._offsets["checksums"] + 8 * index)

    def intact(self, block: int) -> bool:
        """Whether a block's values are there and what its checksum says."""
        shapes = self._info.shapes(self._info.block(block))
        arrays = [np.empty(*shapes[name]) for name in self._info.value_columns]
        try:
            for name, array in zip(self._info.value_columns, arrays, strict=True):
                self.read(name, self._info.block(block).start, array)
        except InputError:  # a compressed chunk that its filter refuses
            return False
        return bool(self.checksums[block - self._shard.blocks.start] == checksum(arrays))


def finished_blocks(path: Path) -> int:
    """How many blocks of an unfinished shard are there, by its own account."""
    with suppress(*DAMAGE, InputError), open_hdf5(path) as file:
        return int(np.count_nonzero(file["checksums"]))
    return 0


def write_shard(path: Path, bank: Bank, shard: Shard, make_block: MakeBlock) -> Iterator[None]:
    """Write what a shard lacks, creating it where it is missing; yields after each block.

    Raises:
        InputError: a file of that name is damaged or not part of this bank.
        OSError: the disk is full, or the folder cannot be written.
    """
    if bank.info.compression != "none":
        if finished_blocks(path) == len(shard.blocks):
            yield from (None for _ in shard.blocks)
        else:
            yield from _write_compressed(path, bank, shard, make_block)
        return
    if not path.exists():
        with new_file(path, bank, shard):
            pass
    with closing(ShardFile(path, bank, shard, writing=True)) as file:
        marked = zip(shard.blocks, file.checksums, strict=True)
        lacking = [block for block, mark in marked if not (mark and file.intact(block))]
        yield from (None for _ in range(len(shard.blocks) - len(lacking)))
        yield from _blocks(bank, lacking, make_block, file.write)
    seal(path)
    sync(path)  # rows must be on the disk before the bank has its name


def _write_compressed(
    path: Path, bank: Bank, shard: Shard, make_block: MakeBlock
) -> Iterator[None]:
    info, first = bank.info, bank.info.rows_of(shard.blocks).start
    with new_file(path, bank, shard) as file:

        def write(block: int, arrays: list[NDArray[np.generic]]) -> None:
            rows = info.block(block)
            for name, array in zip(info.value_columns, arrays, strict=True):
                file[name][rows.start - first : rows.stop - first] = array
            file["checksums"][block - shard.blocks.start] = checksum(arrays)

        yield from _blocks(bank, shard.blocks, make_block, write)


def _blocks(
    bank: Bank,
    blocks: Sequence[int],
    make_block: MakeBlock,
    write: Callable[[int, list[NDArray[np.generic]]], None],
) -> Iterator[None]:
    """Make blocks; a thread writes one while the next is made."""
    info = bank.info

    def store(block: int, made: dict[str, Tensor]) -> None:
        write(block, [to_stored(made[name], info.dtype) for name in info.value_columns])

    with ThreadPoolExecutor(1, thread_name_prefix="bank") as thread:
        writing: Future[None] | None = None
        for block in blocks:
            made = make_block(info.block(block))
            if writing is not None:
                writing.result()
            writing = thread.submit(store, block, made)
            yield
        if writing is not None:
            writing.result()
