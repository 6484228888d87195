"""Random draws that depend on (seed, stream, draw, slot) and on nothing else.

Philox (Salmon et al., SC 2011) is a counter-based generator: the numbers of any slot of the global
batch can be computed alone. So each process draws just its own slots, the result is the same for
any number of processes, and a resumed run needs no generator state.
"""

from __future__ import annotations

import math
from enum import IntEnum, unique

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WORDS_PER_COUNT = 4  # Philox4x64 yields four words for each count


@unique
class Stream(IntEnum):
    """Independent streams of one seed."""

    ROWS = 1
    NOISE = 2
    MIX = 3
    BANK = 4
    SPLIT = 5
    SIMULATED = 6
    CLASSES = 7
    SHUFFLED_BLOCKS = 16
    SHUFFLED_ROWS = 17


def philox(seed: int, stream: Stream, draw: int, count: int = 0) -> np.random.Philox:
    """The generator of a draw, starting at the given count."""
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([count, 0, draw, 0], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter)


def permutation(seed: int, stream: Stream, draw: int, size: int) -> NDArray[np.int64]:
    """A random order of ``range(size)``."""
    return np.random.Generator(philox(seed, stream, draw)).permutation(size)


def held_out_rows(
    labels: NDArray[np.int64],
    share: float,
    seed: int,
    among: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Mark about `share` of each class's rows, at least one, never all; same for any row order.

    Args:
        labels: ``(rows,)``.
        share: in [0, 1); 0 marks none.
        seed: of the draw.
        among: ``(rows,)``, which rows may be marked, and are counted; default all.

    Returns:
        ``(rows,)``; the time grows with the rows, whatever the number of classes.
    """
    marked = np.zeros(len(labels), dtype=bool)
    free = np.flatnonzero(np.ones_like(marked) if among is None else among)
    if not (share and len(free)):
        return marked
    order = free[np.argsort(labels[free], kind="stable")]
    for rows in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        draw = 1 + int(labels[rows[0]])
        marked[rows[permutation(seed, Stream.SPLIT, draw, len(rows))[:count]]] = True
    return marked


def uniforms(seed: int, stream: Stream, draw: int, slots: slice, width: int) -> Tensor:
    """Uniform numbers in (0, 1], ``(slots, width)`` float64, of the given slots of a draw."""
    counts = -(-width // WORDS_PER_COUNT)
    rows = slots.stop - slots.start
    words = philox(seed, stream, draw, slots.start * counts).random_raw(
        rows * counts * WORDS_PER_COUNT
    )
    whole = torch.from_numpy((words >> 11).astype(np.int64)).view(rows, counts * WORDS_PER_COUNT)
    return (whole[:, :width].double() + 1) * 2.0**-53


def normals(seed: int, stream: Stream, draw: int, slots: slice, width: int) -> Tensor:
    """Standard normal numbers, ``(slots, width)`` float32, by the Box-Muller transform.

    It uses a fixed number of words for each number, which rejection methods do not.
    """
    half = -(-width // 2)
    u = uniforms(seed, stream, draw, slots, 2 * half)
    radius = torch.sqrt(-2 * torch.log(u[:, :half]))
    angle = 2 * math.pi * u[:, half:]
    pairs = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
    return pairs[:, :width].float()
