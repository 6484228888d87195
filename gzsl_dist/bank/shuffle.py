"""Shuffled mini-batches of a bank, without reading row by row.

The blocks are put in a random order, as one stream of rows, and rows are mixed within a shuffle
buffer of several blocks; so all reading is of consecutive rows. A buffer is cut into *sub-blocks*,
and every global batch takes as many rows of each: a process reads only those that fill its slots.
Their number depends on the size of the batch only, so the global batches are the same at any number
of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import gcd

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from gzsl_dist.bank.layout import Batch
from gzsl_dist.bank.prefetch import prefetched
from gzsl_dist.data.dataset import IntArray
from gzsl_dist.data.draws import Stream, permutation
from gzsl_dist.errors import InputError

SUB_BLOCKS = 16

Read = Callable[[list[slice], NDArray[np.generic] | None], tuple[Batch, NDArray[np.generic]]]
"""Reads rows into the memory given, or new memory where there is none or too little."""


class ShuffledBatches(IterableDataset[Batch]):
    """One epoch of shuffled mini-batches, this process's share of each.

    In a DataLoader (``batch_size=None``), worker i of n yields every n-th batch, so the loader
    gives the same batches in the same order as without workers.

    Args:
        read: reads rows in the stored type.
        rows: how many there are.
        block_rows: rows of a block.
        batch_size: rows of the global batch; the last batch of the epoch may have fewer, and a
            process's share of that may be empty.
        seed: decides the order.
        epoch: another order for each.
        window_blocks: blocks whose rows are mixed. Two such buffers are in memory: the one in use
            and the one that a thread reads.
        rank: this process.
        world_size: number of processes.
        start_step: first batch to yield; buffers before it are not read.
        dtype: what to convert to; None keeps the stored type.

    Raises:
        InputError: a size is less than 1.
    """

    def __init__(
        self,
        read: Read,
        rows: int,
        block_rows: int,
        batch_size: int,
        *,
        seed: int = 0,
        epoch: int = 0,
        window_blocks: int = 16,
        rank: int = 0,
        world_size: int = 1,
        start_step: int = 0,
        dtype: torch.dtype | None = torch.float32,
    ) -> None:
        if batch_size < 1 or window_blocks < 1 or start_step < 0 or not 0 <= rank < world_size:
            raise InputError(
                f"shuffled reading: batch_size {batch_size} and window_blocks {window_blocks} "
                f"must be 1 or more, start_step {start_step} 0 or more, rank {rank} below "
                f"world_size {world_size}"
            )
        self._read, self._seed, self._epoch, self._dtype = read, seed, epoch, dtype
        self._batch, self._start = batch_size, start_step
        self._slots = slice(batch_size * rank // world_size, batch_size * (rank + 1) // world_size)
        self._order = permutation(seed, Stream.SHUFFLED_BLOCKS, epoch, -(-rows // block_rows))
        sizes = np.minimum(block_rows, rows - self._order * block_rows)
        self._firsts, self._ends = self._order * block_rows, np.cumsum(sizes)
        size = batch_size * max(1, window_blocks * block_rows // batch_size)
        # Only the last buffer, of the last batch alone, holds no multiple of the batch size.
        self._bounds = sorted({*range(0, rows, size), rows - rows % batch_size, rows})
        self.steps = -(-rows // batch_size)

    def __len__(self) -> int:
        return max(0, self.steps - self._start)

    def __iter__(self) -> Iterator[Batch]:
        """Yield this process's share of each global batch."""
        worker = get_worker_info()
        index, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        first = self._start * self._batch
        numbers = [at for at, end in enumerate(self._bounds[1:]) if end > first]
        spare: list[NDArray[np.generic]] = []
        buffers = (self._buffer(number, spare) for number in numbers)
        for number, (rows, memory, chosen) in zip(numbers, prefetched(buffers), strict=True):
            at = self._bounds[number] // self._batch
            for step, own in enumerate(chosen, at):
                if step >= self._start and (step - self._start) % workers == index:
                    inputs = rows.inputs.index_select(0, own)
                    yield Batch(
                        inputs if self._dtype is None else inputs.to(self._dtype), rows.labels[own]
                    )
            spare.append(memory)

    def _buffer(
        self, number: int, spare: list[NDArray[np.generic]]
    ) -> tuple[Batch, NDArray[np.generic], torch.Tensor]:
        """This process's sub-blocks of a buffer, and ``(batches, own slots)`` which rows to take.

        Memory of a buffer that is done with is used again: the first touch of new memory costs
        more than reading from the page cache.
        """
        first, end = self._bounds[number : number + 2]
        batch = min(self._batch, end - first)
        slots = slice(min(self._slots.start, batch), min(self._slots.stop, batch))
        whole = batch == self._batch
        count = gcd(batch, SUB_BLOCKS) if whole else batch  # of the last batch, own rows alone
        quota, size = batch // count, (end - first) // count
        part = slots.start // quota
        own = range(part, -(-slots.stop // quota) if slots.stop > slots.start else part)
        draws = [(self._epoch * len(self._bounds) + number) * SUB_BLOCKS + part for part in own]
        orders: list[IntArray] = [
            permutation(self._seed, Stream.SHUFFLED_ROWS, draw, size) if whole else np.zeros(1, int)
            for draw in draws
        ]
        columns = [order.reshape(-1, quota) + at * size for at, order in enumerate(orders)]
        chosen = np.concatenate([np.empty((size // quota, 0), np.int64), *columns], axis=1)
        shift = own.start * quota
        rows, memory = self._read(
            self._pieces(first + own.start * size, first + own.stop * size),
            spare.pop() if spare else None,
        )
        return rows, memory, torch.from_numpy(chosen[:, slots.start - shift : slots.stop - shift])

    def _pieces(self, at: int, stop: int) -> list[slice]:
        """Where rows of the stream lie in the bank."""
        pieces = []
        while at < stop:
            block = int(np.searchsorted(self._ends, at, side="right"))
            end, row = min(stop, int(self._ends[block])), int(self._firsts[block])
            start = int(self._ends[block - 1]) if block else 0
            pieces.append(slice(row + at - start, row + end - start))
            at = end
        return pieces
