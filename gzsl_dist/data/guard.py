"""A guard before the test rows: no code reads them before the end of training unnoticed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gzsl_dist.data.dataset import Dataset, IntArray
from gzsl_dist.data.features import Features, FloatArray


class EarlyReadError(RuntimeError):
    """Code asked for a test row before the end of training: a mistake of the program."""


class GuardedFeatures:
    """A data set's features, of which the test rows are refused until `end_training`.

    Attributes:
        whole: the features without a guard.
        reads_before_end: how often a test row was read before the end, summed over rows.
        reads_at_end: the same after it.
    """

    def __init__(self, whole: Features, test_rows: IntArray) -> None:
        self.whole = whole
        self.reads_before_end = 0
        self.reads_at_end = 0
        self._is_test = np.zeros(len(whole), dtype=bool)
        self._is_test[test_rows] = True
        self._ended = False
        self._oracle = False

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, d_x)``."""
        return self.whole.shape

    @property
    def test_rows(self) -> int:
        """How many test rows there are."""
        return int(self._is_test.sum())

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, rows: Any, /) -> FloatArray:
        """Read rows.

        Raises:
            EarlyReadError: there is a test row among them, and training goes on.
        """
        asked = int(np.sum(self._is_test[rows]))
        if asked and not (self._ended or self._oracle):
            raise EarlyReadError(f"{asked} test row(s) were asked for before the end of training")
        if self._ended:
            self.reads_at_end += asked
        else:
            self.reads_before_end += asked
        return self.whole[rows]

    def end_training(self) -> None:
        """From now on test rows may be read: nothing is chosen or trained any more."""
        self._ended = True

    @contextmanager
    def oracle(self) -> Iterator[None]:
        """Let test rows be read though training goes on (`evaluation.oracle`); it is counted."""
        self._oracle = True
        try:
            yield
        finally:
            self._oracle = False


def guarded(dataset: Dataset) -> tuple[Dataset, GuardedFeatures]:
    """The same data set with a guard before its test rows, and the guard."""
    splits = dataset.splits
    guard = GuardedFeatures(
        dataset.features, np.concatenate([splits["test_seen"], splits["test_unseen"]])
    )
    behind = dataclasses.replace(dataset, features=guard)
    # of the same contents; to compute it anew would read every row
    behind.__dict__["fingerprint"] = dataset.fingerprint
    return behind, guard
