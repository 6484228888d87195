"""Rows of a bank: which are meant, and what reading them gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gzsl_dist.bank.layout import BankInfo
from gzsl_dist.data.dataset import IntArray

Column = Literal["features", "embeddings"]


class Batch(NamedTuple):
    """Rows ``(rows, d)`` and their class numbers ``(rows,)`` in the data set."""

    inputs: Tensor
    labels: Tensor


class Selection:
    """Some of a bank's rows, numbered anew without gaps: all of it, or some classes.

    Args:
        starts: ``(runs,)`` first row of each run of consecutive rows.
        counts: ``(runs,)`` rows of each.
    """

    def __init__(self, starts: IntArray, counts: IntArray) -> None:
        self._starts, self._ends = starts, np.cumsum(counts)
        self._firsts = self._ends - counts
        self.rows = int(counts.sum())

    def pieces(self, rows: slice) -> Iterator[slice]:
        """The bank's rows behind rows of the selection, in order."""
        run, at = int(np.searchsorted(self._ends, rows.start, side="right")), rows.start
        while at < rows.stop:
            stop = min(rows.stop, int(self._ends[run]))
            shift = int(self._starts[run] - self._firsts[run])
            yield slice(at + shift, stop + shift)
            run, at = run + 1, stop


class StoredRows(Protocol):
    """What `gzsl_dist.bank.reader.BankReader` is to those who read its rows."""

    path: Path
    info: BankInfo

    def select(self, classes: Sequence[str] | None = None) -> Selection:
        """All rows, or those of some classes."""

    def column(self, column: Column) -> tuple[str, int]:
        """Stored type and width."""

    def read_stored(self, column: str, rows: slice, out: NDArray[np.generic]) -> None:
        """Read rows as they are stored."""
