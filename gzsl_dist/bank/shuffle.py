"""Shuffled mini-batches of a bank, without reading row by row.

The order of the blocks is shuffled, and rows are mixed within a window of several blocks; so all
reading is of consecutive rows. For several processes a block is cut into *lanes*, runs of its rows,
and every global batch takes an equal number of rows from each lane: a process reads only the lanes
that fill its slots. Lanes depend on the sizes of batch and block only, so the global batches are
the same at any number of processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from gzsl_dist.bank.layout import from_stored
from gzsl_dist.bank.prefetch import prefetched
from gzsl_dist.bank.rows import Batch, Column, StoredRows
from gzsl_dist.data.dataset import IntArray
from gzsl_dist.data.draws import Stream, permutation
from gzsl_dist.errors import InputError

LANES = 16


@dataclass
class _Window:
    """Rows of a window in memory, and of each lane their shuffled order."""

    stored: NDArray[np.generic]
    inputs: Tensor
    labels: Tensor
    order: dict[int, IntArray]


class ShuffledBatches(IterableDataset[Batch]):
    """One epoch of shuffled mini-batches, this process's share of each.

    In a DataLoader (``batch_size=None``), worker i of n yields every n-th batch, so the loader
    gives the same batches in the same order as without workers.

    Args:
        reader: the bank.
        batch_size: rows of the global batch; the last batch of the epoch may have fewer, and a
            process's share of that may be empty.
        seed: decides the order.
        epoch: another order for each.
        window_blocks: blocks whose rows are mixed. Two windows are in memory: the one in use and
            the one that a thread reads.
        rank: this process.
        world_size: number of processes.
        start_step: first batch to yield; what lies before is not read.
        classes: only rows of these classes.
        column: ``features`` or ``embeddings``.
        dtype: what to convert to; None keeps the stored type.

    Raises:
        InputError: a size is less than 1, or the bank lacks a class or the column.
    """

    def __init__(
        self,
        reader: StoredRows,
        batch_size: int,
        *,
        seed: int = 0,
        epoch: int = 0,
        window_blocks: int = 16,
        rank: int = 0,
        world_size: int = 1,
        start_step: int = 0,
        classes: Sequence[str] | None = None,
        column: Column = "features",
        dtype: torch.dtype | None = torch.float32,
    ) -> None:
        if batch_size < 1 or window_blocks < 1 or start_step < 0 or not 0 <= rank < world_size:
            raise InputError(
                f"shuffled reading of {reader.path}: batch_size {batch_size} and window_blocks "
                f"{window_blocks} must be 1 or more, start_step {start_step} 0 or more, rank "
                f"{rank} below world_size {world_size}"
            )
        self._reader, self._seed, self._epoch = reader, seed, epoch
        self._start, self._window_blocks = start_step, window_blocks
        self._column, self._dtype = column, dtype
        self._stored, self._width = reader.column(column)
        self._selection = reader.select(classes)
        self._block_rows = reader.info.block_rows
        self._lanes = gcd(batch_size, self._block_rows, LANES)
        self._quota = batch_size // self._lanes  # rows that a lane gives to a global batch
        self._slots = range(batch_size * rank // world_size, batch_size * (rank + 1) // world_size)
        # lanes that fill this process's slots; none where processes outnumber the batch's rows
        stop = -(-self._slots.stop // self._quota) if self._slots else 0
        self._mine = range(self._slots.start // self._quota if self._slots else 0, stop)
        blocks = -(-self._selection.rows // self._block_rows)
        self._order = permutation(seed, Stream.SHUFFLED_BLOCKS, epoch, blocks)
        bounds = [self._bounds(int(block)) for block in self._order]
        # (blocks, lanes) rows, and before each window the rows of each lane that came before
        self._sizes = np.diff(np.array(bounds), axis=1)
        self._before = np.vstack([np.zeros(self._lanes, np.int64), self._sizes.cumsum(axis=0)])
        self.steps = -(-int(self._before[-1].max()) // self._quota)

    def __len__(self) -> int:
        return max(0, self.steps - self._start)

    def __iter__(self) -> Iterator[Batch]:
        """Yield this process's share of each global batch."""
        worker = get_worker_info()
        index, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        if self._start >= self.steps:
            return
        if not self._mine:
            nothing = self._empty()
            for _ in range(self._start + index, self.steps, workers):
                yield self._converted(nothing.inputs, nothing.labels)
            return
        mine = list(self._mine)
        # The last window that no lane has passed at the first step; of it, rows are skipped.
        at, firsts = self._start * self._quota, self._before[:: self._window_blocks]
        passed = (firsts[:, mine] <= at).all(axis=1)
        window = min(int(np.flatnonzero(passed)[-1]), self._windows - 1)
        skip = {lane: at - int(firsts[window, lane]) for lane in mine}
        rest: dict[int, Batch] = {lane: self._empty() for lane in mine}
        step, spare = self._start, deque[NDArray[np.generic]]()
        windows = (self._load(number, spare) for number in range(window, self._windows))
        for number, loaded in enumerate(prefetched(windows, 1)):
            at_lane = dict.fromkeys(mine, 0)
            for lane in mine:
                at_lane[lane] = min(skip[lane], len(loaded.order[lane]))
                skip[lane] -= at_lane[lane]
            last = window + number == self._windows - 1
            while step < self.steps:
                more = {lane: len(loaded.order[lane]) - at_lane[lane] for lane in mine}
                enough = min(len(rest[lane].labels) + more[lane] for lane in mine) >= self._quota
                if not enough and not last:
                    break
                if enough and not any(len(batch.labels) for batch in rest.values()):
                    for rows in self._whole_batches(loaded, at_lane, min(more.values())):
                        if (step - self._start) % workers == index:
                            inputs = loaded.inputs.index_select(0, rows)
                            yield self._converted(inputs, loaded.labels[rows])
                        step += 1
                    continue
                parts = [self._take(loaded, lane, at_lane, rest) for lane in mine]
                if (step - self._start) % workers == index:
                    yield self._batch(loaded, parts)
                step += 1
            for lane in mine:
                rows = torch.from_numpy(loaded.order[lane][at_lane[lane] :])
                left = Batch(loaded.inputs[rows], loaded.labels[rows])
                rest[lane] = Batch(
                    *(torch.cat(pair) for pair in zip(rest[lane], left, strict=True))
                )
            spare.append(loaded.stored)

    @property
    def _windows(self) -> int:
        return -(-len(self._order) // self._window_blocks)

    def _bounds(self, block: int) -> list[int]:
        """Where the lanes of a block begin and end, as rows of the selection."""
        first = block * self._block_rows
        count = min(self._block_rows, self._selection.rows - first)
        return [first + -(-count * lane // self._lanes) for lane in range(self._lanes + 1)]

    def _slots_of(self, lane: int) -> tuple[int, int]:
        """This process's slots among those that a lane fills."""
        first = lane * self._quota
        return max(0, self._slots.start - first), min(self._quota, self._slots.stop - first)

    def _whole_batches(
        self, loaded: _Window, at_lane: dict[int, int], rows: int
    ) -> Iterator[Tensor]:
        """Row numbers in the window of each batch that `rows` more rows of every lane fill."""
        steps = rows // self._quota
        columns = []
        for lane, at in at_lane.items():
            low, high = self._slots_of(lane)
            order = loaded.order[lane][at : at + steps * self._quota]
            columns.append(order.reshape(steps, self._quota)[:, low:high])
            at_lane[lane] += steps * self._quota
        yield from torch.from_numpy(np.concatenate(columns, axis=1))

    def _take(
        self,
        loaded: _Window,
        lane: int,
        at_lane: dict[int, int],
        rest: dict[int, Batch],
    ) -> tuple[Batch, IntArray]:
        """A lane's rows for the next batch, of this process's slots only.

        First what the window before left, then row numbers in this one.
        """
        low, high = self._slots_of(lane)
        old = rest[lane]
        kept = min(len(old.labels), self._quota)
        fresh = loaded.order[lane][at_lane[lane] : at_lane[lane] + self._quota - kept]
        if kept:
            rest[lane] = Batch(old.inputs[kept:], old.labels[kept:])
        at_lane[lane] += len(fresh)
        taken = slice(min(low, kept), min(high, kept))
        return (
            Batch(old.inputs[taken], old.labels[taken]),
            fresh[max(0, low - kept) : max(0, high - kept)],
        )

    def _batch(self, loaded: _Window, parts: list[tuple[Batch, IntArray]]) -> Batch:
        """A batch of rows from two windows, or the last one of all."""
        pairs = [
            (kept, Batch(loaded.inputs[rows], loaded.labels[rows]))
            for kept, rows in ((kept, torch.from_numpy(fresh)) for kept, fresh in parts)
        ]
        inputs = torch.cat([batch.inputs for pair in pairs for batch in pair])
        return self._converted(
            inputs, torch.cat([batch.labels for pair in pairs for batch in pair])
        )

    def _converted(self, inputs: Tensor, labels: Tensor) -> Batch:
        return Batch(inputs if self._dtype is None else inputs.to(self._dtype), labels)

    def _empty(self) -> Batch:
        empty = from_stored(np.empty((0, self._width), self._stored), self._reader.info.dtype)
        return Batch(empty, torch.empty(0, dtype=torch.int64))

    def _load(self, window: int, spare: deque[NDArray[np.generic]]) -> _Window:
        """Read this process's lanes of a window: one run of rows of each block.

        Memory of a window that is done with is used again: the first touch of new memory costs
        more than reading from the page cache.
        """
        blocks = range(
            window * self._window_blocks, min((window + 1) * self._window_blocks, len(self._order))
        )
        first_lane, last_lane = self._mine.start, self._mine.stop
        bounds = [self._bounds(int(self._order[block])) for block in blocks]
        total = sum(bound[last_lane] - bound[first_lane] for bound in bounds)
        stored = spare.popleft() if spare else np.empty((0, self._width), self._stored)
        if len(stored) < total:
            stored = np.empty((total, self._width), self._stored)
        inputs = stored[:total]
        labels: list[IntArray] = []
        places: dict[int, list[IntArray]] = {lane: [] for lane in self._mine}
        at = 0
        for bound in bounds:
            start = at
            rows = slice(bound[first_lane], bound[last_lane])
            for piece in self._selection.pieces(rows):
                length = piece.stop - piece.start
                self._reader.read_stored(self._column, piece, inputs[at : at + length])
                labels.append(self._reader.info.labels_of(piece))
                at += length
            for lane in self._mine:
                shift = start - bound[first_lane]
                places[lane].append(np.arange(bound[lane] + shift, bound[lane + 1] + shift))
        order = {}
        for lane, parts in places.items():
            joined = np.concatenate(parts)
            draw = (self._epoch * self._windows + window) * self._lanes + lane
            order[lane] = joined[permutation(self._seed, Stream.SHUFFLED_ROWS, draw, len(joined))]
        return _Window(
            stored,
            from_stored(inputs, self._reader.info.dtype),
            torch.from_numpy(np.concatenate(labels) if labels else np.empty(0, np.int64)),
            order,
        )
