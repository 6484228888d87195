"""Reading banks: blocks in order, classes, shuffled mini-batches."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gzsl_dist.bank.layout import BankInfo, Shard, from_stored
from gzsl_dist.bank.master import Master, read_master
from gzsl_dist.bank.plan import refuse_unfinished
from gzsl_dist.bank.prefetch import prefetched
from gzsl_dist.bank.rows import Batch, Column, Selection
from gzsl_dist.bank.shard_reader import ShardReader
from gzsl_dist.bank.shuffle import ShuffledBatches
from gzsl_dist.errors import InputError


class BankReader:
    """Reads a bank of any size in bounded memory.

    Shards are opened when rows are read, once in each process, so a reader can be handed to
    DataLoader workers, forked or spawned.

    Args:
        path: the bank's master file.

    Raises:
        InputError: missing, unfinished, no bank, or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        refuse_unfinished(self.path)
        self._master: Master = read_master(self.path)
        self.info: BankInfo = self._master.info
        self.token = self._master.token
        self._first_rows = [shard.rows(self.info).start for shard in self._master.shards]
        self._ends = np.cumsum(self.info.counts)
        self._open: list[ShardReader | None] = [None] * len(self._master.shards)
        self._process = os.getpid()

    def __len__(self) -> int:
        return self.info.rows

    def __getstate__(self) -> dict[str, Any]:
        """All but open files."""
        return self.__dict__ | {"_open": [None] * len(self._open)}

    def __enter__(self) -> BankReader:
        """Use as a context manager to close the files."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the files."""
        self.close()

    def close(self) -> None:
        """Close the shards; reading opens them again."""
        for shard in self._open:
            if shard is not None and self._process == os.getpid():
                shard.close()
        self._open = [None] * len(self._open)

    @property
    def class_counts(self) -> dict[str, int]:
        """Rows of each class that the bank holds."""
        counts = np.bincount(self.info.labels, self.info.counts, len(self.info.classes))
        held = np.flatnonzero(counts)
        return {self.info.classes[number]: int(counts[number]) for number in held}

    def check_shards(self) -> None:
        """Open every shard.

        Raises:
            InputError: one is missing, truncated or of another bank.
        """
        for number in range(len(self._open)):
            self._shard(number)

    def select(self, classes: Sequence[str] | None = None) -> Selection:
        """All rows, or those of some classes, in the bank's order.

        Raises:
            InputError: the bank lacks a class.
        """
        starts = self._ends - self.info.counts
        if classes is None:
            return Selection(starts, self.info.counts)
        held = self.class_counts
        for name in classes:
            if name not in held:
                raise InputError(f"{self.path}: holds no class {name!r}; info lists its classes")
        number = {name: index for index, name in enumerate(self.info.classes)}
        chosen = np.isin(self.info.labels, [number[name] for name in classes])
        return Selection(starts[chosen], self.info.counts[chosen])

    def read_stored(self, column: str, rows: slice, out: NDArray[np.generic]) -> None:
        """Read the bank's rows of a data set as they are stored into ``out`` ``(rows, ...)``."""
        number, at = bisect_right(self._first_rows, rows.start) - 1, rows.start
        bounds = [*self._first_rows, self.info.rows]
        while at < rows.stop:
            stop = min(rows.stop, bounds[number + 1])
            self._shard(number).read(
                column, at - bounds[number], out[at - rows.start : stop - rows.start]
            )
            number, at = number + 1, stop

    def read(self, rows: slice, selection: Selection | None = None) -> Batch:
        """Read features of rows (of a selection), in the stored type."""
        return self.read_column("features", rows, selection or self.select())

    def read_column(self, column: Column, rows: slice, selection: Selection) -> Batch:
        """Read rows of a selection from features or embeddings, in the stored type.

        Raises:
            InputError: the bank has no embeddings, or is damaged.
        """
        dtype, width = self.column(column)
        out, labels = np.empty((rows.stop - rows.start, width), dtype), []
        at = 0
        for piece in selection.pieces(rows):
            length = piece.stop - piece.start
            self.read_stored(column, piece, out[at : at + length])
            labels.append(self.info.labels_of(piece))
            at += length
        joined = np.concatenate(labels) if labels else np.empty(0, np.int64)
        return Batch(from_stored(out, self.info.dtype), torch.from_numpy(joined))

    def column(self, column: Column) -> tuple[str, int]:
        """Stored type and width of features or embeddings.

        Raises:
            InputError: the bank has no embeddings.
        """
        if column not in self.info.columns:
            raise InputError(f"{self.path}: holds no {column}; synthesize with --embeddings")
        return self.info.columns[column]

    def blocks(
        self,
        classes: Sequence[str] | None = None,
        *,
        numbers: range | None = None,
        column: Column = "features",
        dtype: torch.dtype | None = torch.float32,
        ahead: int = 1,
    ) -> Iterator[Batch]:
        """Rows in the bank's order, block by block, read ahead by a thread.

        Args:
            classes: only rows of these classes.
            numbers: only these blocks (of the selected rows); default all.
            column: ``features`` or ``embeddings``.
            dtype: what to convert to; None keeps the stored type.
            ahead: blocks that the thread reads ahead.
        """
        selection, size = self.select(classes), self.info.block_rows
        self.column(column)

        def read(number: int) -> Batch:
            rows = slice(number * size, min((number + 1) * size, selection.rows))
            return self.read_column(column, rows, selection)

        chosen = range(-(-selection.rows // size)) if numbers is None else numbers
        for batch in prefetched(map(read, chosen), ahead):
            yield batch if dtype is None else Batch(batch.inputs.to(dtype), batch.labels)

    def shuffled(self, batch_size: int, **settings: Any) -> ShuffledBatches:
        """Shuffled mini-batches; see `gzsl_dist.bank.shuffle.ShuffledBatches`."""
        return ShuffledBatches(self, batch_size, **settings)

    def checksums(self, number: int) -> tuple[NDArray[np.uint64], int]:
        """Of a shard: checksums of its blocks ``(blocks, columns)``, and that of all the rest."""
        return self._shard(number).checksums, self._master.rest[number]

    @property
    def shards(self) -> tuple[Shard, ...]:
        """Names and blocks of the shards."""
        return self._master.shards

    def _shard(self, number: int) -> ShardReader:
        if self._process != os.getpid():  # forked: another process's files are left alone
            self._open, self._process = [None] * len(self._open), os.getpid()
        found = self._open[number]
        if found is None:
            shard = self._master.shards[number]
            found = ShardReader(
                self.path.with_name(shard.name), self.info, shard, self._master.token
            )
            self._open[number] = found
        return found
