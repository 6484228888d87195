"""Cross-validation whose folds hold out classes, so that test folds have unseen classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator


class ClassFold(BaseCrossValidator):  # type: ignore[misc]
    """Each fold tests on all samples of some classes, and on held-out samples of the others.

    The folds' classes are disjoint and together all classes. An estimator is fitted without the
    fold's classes, so it must get their semantics (`GZSLClassifier`'s parameter ``semantics``).

    Args:
        n_splits: number of folds, at least 2 and at most the number of classes - 2.
        held_out: part of the other classes' samples to test on, in (0, 1); a class keeps one
            sample at least for training.
        random_state: seed of both draws, a whole number >= 0.

    Raises:
        ValueError: on `split`, too few classes for so many folds.
    """

    def __init__(self, n_splits: int = 3, *, held_out: float = 0.2, random_state: int = 0) -> None:
        self.n_splits = n_splits
        self.held_out = held_out
        self.random_state = random_state

    def get_n_splits(
        self, X: ArrayLike | None = None, y: ArrayLike | None = None, groups: object = None
    ) -> int:
        """The number of folds."""
        return self.n_splits

    def split(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: object = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Indices of training and test samples of each fold, each sorted.

        Args:
            X: not looked at.
            y: labels ``(samples,)``.
            groups: not looked at.
        """
        labels: NDArray[Any] = np.asarray(y)
        classes = np.unique(labels)
        if not 2 <= self.n_splits <= len(classes) - 2:
            raise ValueError(
                f"{self.n_splits} folds of {len(classes)} classes: each fold must hold out a class "
                "and leave two; give n_splits from 2 to the number of classes - 2"
            )
        rng = np.random.default_rng(self.random_state)
        held_out = np.zeros(len(labels), dtype=bool)
        for label in classes:
            own = rng.permutation(np.flatnonzero(labels == label))
            held_out[own[: min(round(self.held_out * len(own)) or 1, len(own) - 1)]] = True
        for fold in np.array_split(rng.permutation(classes), self.n_splits):
            unseen = np.isin(labels, fold)
            yield np.flatnonzero(~unseen & ~held_out), np.flatnonzero(unseen | held_out)
