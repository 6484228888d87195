"""Training batches: which rows and which noise each step sees."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gzsl_dist.data.draws import Stream, normals, permutation, uniforms
from gzsl_dist.data.problem import Rows


@dataclass(frozen=True)
class Batch:
    """One process's slots of a global batch.

    Attributes:
        features: ``(slots, d_x)`` real rows, scaled.
        labels: ``(slots,)`` their seen classes.
        noise: ``(slots, d_z)`` for one synthetic row of the same class each.
        mix: ``(slots, 1)`` in (0, 1], where between real and synthetic the penalty is taken.
    """

    features: Tensor
    labels: Tensor
    noise: Tensor
    mix: Tensor


class BatchSource:
    """Batches as functions of (seed, draw, slot): the same global batch for any process count.

    Rows come in the order of one seeded permutation after another, without gaps, so every row is
    used once before any is used again; a batch larger than the data holds rows repeatedly.

    Args:
        rows: training rows.
        batch_size: rows of the global batch.
        slots: the part of it that this process takes.
        noise_dim: d_z.
        seed: decides rows, noise and mixing.
        device: where batches are put.
        dtype: of features, noise and mixing.
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
    ) -> None:
        # In memory, all rows are where they are used; on disk, each draw reads its own.
        self.features = rows.features
        if isinstance(rows.features, Tensor):
            self.features = rows.features.to(device, dtype)
        self.device, self.dtype = device, dtype
        self.labels = rows.labels.to(device)
        self.batch_size = batch_size
        self.slots = slots
        self.noise_dim = noise_dim
        self.seed = seed
        self._order = lru_cache(maxsize=2)(self._draw_order)

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
        ids = torch.from_numpy(self.row_ids(draw))
        if isinstance(self.features, Tensor):
            ids = ids.to(device)
        return Batch(
            features=self.features[ids].to(device, dtype),
            labels=self.labels[ids.to(device)],
            noise=normals(self.seed, Stream.NOISE, draw, self.slots, self.noise_dim).to(
                device, dtype
            ),
            mix=uniforms(self.seed, Stream.MIX, draw, self.slots, 1).to(device, dtype),
        )

    def _draw_order(self, epoch: int) -> NDArray[np.int64]:
        return permutation(self.seed, Stream.ROWS, epoch, len(self.labels))
