"""Training batches: which rows and which noise each step sees."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gzsl_dist.data.draws import Stream, normals, permutation, uniforms
from gzsl_dist.data.memory import fits_in_memory
from gzsl_dist.data.problem import Rows
from gzsl_dist.errors import InputError

AHEAD = 4
"""Draws that are made while a GPU works; beside a CPU's training, one."""


MOST_REPEATS = 10
"""How often a batch may hold a training row."""


def check_batch_size(batch_size: int, rows: int) -> None:
    """Refuse a batch that is many times the training rows: its step takes as much longer.

    Raises:
        InputError: rows would be in it more than `MOST_REPEATS` times.
    """
    if batch_size > MOST_REPEATS * rows:
        raise InputError(
            f"train.batch_size {batch_size} is {batch_size // rows} times the {rows} training "
            f"rows: a step would take about {batch_size // rows} times as long as one with all "
            f"rows, and repeat them; use at most {MOST_REPEATS * rows}"
        )


@dataclass(frozen=True)
class Batch:
    """One process's slots of a global batch.

    Attributes:
        features: ``(slots, d_x)`` real rows, scaled.
        labels: ``(slots,)`` their seen classes.
        noise: ``(slots, d_z)`` for one synthetic row of the same class each.
        mix: ``(slots, 1)`` in (0, 1], where between real and synthetic the penalty is taken.
        compared: ``(sample,)`` distinct seen classes, the same on all processes, that the
            comparator compares rows with beside their own; None: all.
    """

    features: Tensor
    labels: Tensor
    noise: Tensor
    mix: Tensor
    compared: Tensor | None = None


@dataclass(frozen=True)
class HostDraw:
    """What of a batch is made in host memory, ahead of its step.

    `ids`, ``(slots,)``, are training rows; `features` are None where all rows are on the device.
    The others are as of `Batch`.
    """

    ids: Tensor
    features: Tensor | None
    noise: Tensor
    mix: Tensor
    compared: Tensor | None


class BatchSource:
    """Batches as functions of (seed, draw, slot): the same global batch for any process count.

    Rows come in the order of one seeded permutation after another, without gaps, so every row is
    used once before any is used again; a batch larger than the data holds rows repeatedly. Rows and
    noise of the next draws are made by threads while a step is computed.

    Args:
        rows: training rows.
        batch_size: rows of the global batch, of which this process takes the `slots`.
        slots: which they are.
        noise_dim: d_z.
        seed: decides rows, noise and mixing.
        device: where batches are put, in `dtype`.
        dtype: of features, noise and mixing.
        sample: classes drawn for each batch, and out of how many; None: none are.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        batch_size: int,
        slots: slice,
        noise_dim: int,
        seed: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        sample: tuple[int, int] | None = None,
    ) -> None:
        # All rows are where they are used if they fit there; else each draw takes its own.
        self.features = rows.features
        self._on_device = False
        if isinstance(rows.features, Tensor):
            size = rows.features.numel() * dtype.itemsize
            if device.type == "cpu" or fits_in_memory(size, device):
                self.features, self._on_device = rows.features.to(device, dtype), True
        self.device, self.dtype = device, dtype
        self.labels = rows.labels.to(device)
        self.batch_size = batch_size
        self.slots = slots
        self.noise_dim = noise_dim
        self.seed = seed
        self.sample = sample
        self._order = lru_cache(maxsize=2)(self._draw_order)
        ahead = 1 if device.type == "cpu" else AHEAD
        self._threads = ThreadPoolExecutor(max_workers=ahead, thread_name_prefix="batches")
        self._ahead = ahead
        self._making: dict[int, Future[HostDraw]] = {}

    def row_ids(self, draw: int) -> NDArray[np.int64]:
        """Which training rows the slots of a draw hold, ``(slots,)``."""
        count = len(self.labels)
        first = draw * self.batch_size
        positions = np.arange(first + self.slots.start, first + self.slots.stop)
        epochs, offsets = np.divmod(positions, count)
        ids = np.empty(len(positions), dtype=np.int64)
        for epoch in np.unique(epochs):
            chosen = epochs == epoch
            ids[chosen] = self._order(int(epoch))[offsets[chosen]]
        return ids

    def batch(self, draw: int) -> Batch:
        """The slots of a draw."""
        device, dtype = self.device, self.dtype
        made = self._take(draw)
        ids = made.ids.to(device)
        features = self.features[ids] if made.features is None else made.features
        return Batch(
            features=features.to(device, dtype),
            labels=self.labels[ids],
            noise=made.noise.to(device, dtype),
            mix=made.mix.to(device, dtype),
            compared=None if made.compared is None else made.compared.to(device),
        )

    def _take(self, draw: int) -> HostDraw:
        """A draw that was made ahead, or is made now; those after it are begun."""
        for other in [
            number for number in self._making if not draw <= number <= draw + self._ahead
        ]:
            self._making.pop(other).cancel()
        for number in range(draw, draw + 1 + self._ahead):
            if number not in self._making:
                self._making[number] = self._threads.submit(self._make, number)
        return self._making.pop(draw).result()

    def _make(self, draw: int) -> HostDraw:
        ids = torch.from_numpy(self.row_ids(draw))
        return HostDraw(
            ids=ids,
            features=None if self._on_device else self.features[ids],
            noise=normals(self.seed, Stream.NOISE, draw, self.slots, self.noise_dim),
            mix=uniforms(self.seed, Stream.MIX, draw, self.slots, 1),
            compared=None if self.sample is None else self._draw_classes(draw, *self.sample),
        )

    def _draw_classes(self, draw: int, count: int, among: int) -> Tensor:
        return torch.from_numpy(permutation(self.seed, Stream.CLASSES, draw, among)[:count])

    def _draw_order(self, epoch: int) -> NDArray[np.int64]:
        return permutation(self.seed, Stream.ROWS, epoch, len(self.labels))
