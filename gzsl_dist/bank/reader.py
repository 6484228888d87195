"""Reading banks: blocks in order, classes, shuffled mini-batches."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gzsl_dist.bank.bank_file import read_bank
from gzsl_dist.bank.layout import STORED_AS, Batch, Column, Selection, from_stored
from gzsl_dist.bank.prefetch import prefetched
from gzsl_dist.bank.shard_file import ShardFile
from gzsl_dist.bank.shuffle import ShuffledBatches
from gzsl_dist.bank.writer import refuse_unfinished
from gzsl_dist.errors import InputError


class BankReader:
    """Reads a bank of any size in bounded memory.

    Shards are opened when rows are read, once in each process, so a reader can be handed to
    DataLoader workers, forked or spawned.

    Args:
        path: the bank's file.

    Raises:
        InputError: missing, unfinished, not a bank, or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        refuse_unfinished(self.path)
        self.bank = read_bank(self.path)
        self.info, self.token = self.bank.info, self.bank.token
        self._firsts = [self.info.rows_of(shard.blocks).start for shard in self.bank.shards]
        self._open: dict[tuple[int, int], ShardFile] = {}  # by process and shard

    def __len__(self) -> int:
        return self.info.rows

    def __getstate__(self) -> dict[str, Any]:
        """All but open files."""
        return self.__dict__ | {"_open": {}}

    def __enter__(self) -> BankReader:
        """Use as a context manager to close the files."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self.close()

    def close(self) -> None:
        """Close the shards; reading opens them again."""
        for (process, _), shard in self._open.items():
            if process == os.getpid():
                shard.close()
        self._open = {}

    @cached_property
    def class_counts(self) -> dict[str, int]:
        """Rows of each class that the bank holds."""
        counts = np.bincount(self.info.labels, self.info.counts, len(self.info.classes))
        held = np.flatnonzero(counts)
        return {self.info.classes[number]: int(counts[number]) for number in held}

    def shard(self, number: int) -> ShardFile:
        """An open shard.

        Raises:
            InputError: it is missing, truncated or of another bank.
        """
        key = os.getpid(), number  # a forked process leaves its parent's files alone
        if key not in self._open:
            shard = self.bank.shards[number]
            self._open[key] = ShardFile(self.bank.file(self.path, shard), self.bank, shard)
        return self._open[key]

    def check_shards(self) -> None:
        """Open every shard.

        Raises:
            InputError: one is missing, truncated or of another bank.
        """
        for number in range(len(self.bank.shards)):
            self.shard(number)

    def select(self, classes: Sequence[str] | None = None) -> Selection:
        """All rows, or those of some classes, in the bank's order.

        Raises:
            InputError: the bank lacks a class.
        """
        starts = self.info.ends - self.info.counts
        if classes is None:
            return Selection(starts, self.info.counts)
        for name in classes:
            if name not in self.class_counts:
                raise InputError(f"{self.path}: holds no class {name!r}; info lists its classes")
        numbers = {name: index for index, name in enumerate(self.info.classes)}
        chosen = np.isin(self.info.labels, [numbers[name] for name in classes])
        return Selection(starts[chosen], self.info.counts[chosen])

    def read_stored(self, column: str, rows: slice, out: NDArray[np.generic]) -> None:
        """Read the bank's rows of a data set as they are stored into ``out`` ``(rows, ...)``."""
        number, at = bisect_right(self._firsts, rows.start) - 1, rows.start
        bounds = [*self._firsts, self.info.rows]
        while at < rows.stop:
            stop = min(rows.stop, bounds[number + 1])
            self.shard(number).read(column, at, out[at - rows.start : stop - rows.start])
            number, at = number + 1, stop

    def read(
        self, rows: slice, column: Column = "features", selection: Selection | None = None
    ) -> Batch:
        """Read rows (of a selection) from features or embeddings, in the stored type.

        Raises:
            InputError: the bank has no embeddings, or is damaged.
        """
        return self._read_pieces(column, selection or self.select(), [rows], None)[0]

    def width(self, column: Column) -> int:
        """Values of a row of features or embeddings.

        Raises:
            InputError: the bank has no embeddings.
        """
        if column not in self.info.value_columns:
            raise InputError(f"{self.path}: holds no {column}; synthesize with --embeddings")
        return self.info.width if column == "features" else self.info.embedding_width

    def blocks(
        self,
        classes: Sequence[str] | None = None,
        *,
        numbers: range | None = None,
        column: Column = "features",
        dtype: torch.dtype | None = torch.float32,
    ) -> Iterator[Batch]:
        """Rows in the bank's order, block by block, read ahead by a thread.

        Args:
            classes: only rows of these classes.
            numbers: only these blocks (of the selected rows); default all.
            column: ``features`` or ``embeddings``.
            dtype: what to convert to; None keeps the stored type.
        """
        selection, size = self.select(classes), self.info.block_rows

        def read(number: int) -> Batch:
            rows = slice(number * size, min((number + 1) * size, selection.rows))
            return self.read(rows, column, selection)

        chosen = range(-(-selection.rows // size)) if numbers is None else numbers
        for batch in prefetched(map(read, chosen)):
            yield batch if dtype is None else Batch(batch.inputs.to(dtype), batch.labels)

    def shuffled(
        self,
        batch_size: int,
        *,
        classes: Sequence[str] | None = None,
        column: Column = "features",
        **settings: Any,
    ) -> ShuffledBatches:
        """Shuffled mini-batches of some classes; see `gzsl_dist.bank.shuffle.ShuffledBatches`."""
        selection = self.select(classes)
        self.width(column)
        read = partial(self._read_pieces, column, selection)
        return ShuffledBatches(read, selection.rows, self.info.block_rows, batch_size, **settings)

    def _read_pieces(
        self,
        column: Column,
        selection: Selection,
        pieces: list[slice],
        memory: NDArray[np.generic] | None,
    ) -> tuple[Batch, NDArray[np.generic]]:
        """Read rows of a selection into the memory given, or new memory if that is too small."""
        width, total = self.width(column), sum(piece.stop - piece.start for piece in pieces)
        if memory is None or len(memory) < total:
            memory = np.empty((total, width), STORED_AS[self.info.dtype])
        labels, at = [np.empty(0, np.int64)], 0
        for piece in pieces:
            for rows in selection.pieces(piece):
                stop = at + rows.stop - rows.start
                self.read_stored(column, rows, memory[at:stop])
                labels.append(self.info.labels_of(rows))
                at = stop
        inputs = from_stored(memory[:total], self.info.dtype)
        return Batch(inputs, torch.from_numpy(np.concatenate(labels))), memory
