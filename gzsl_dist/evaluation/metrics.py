"""GZSL metrics: S, U, H, T1 (Xian et al., 2017), AUSUC and calibration (Chao et al., 2016).

Seen classes are numbered ``0 .. seen_count - 1``, unseen classes follow. Accuracies are fractions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ScoredRows:
    """What calibrated stacking needs to know of rows that a classifier scored.

    Attributes:
        labels: ``(rows,)`` true classes.
        best_seen: ``(rows,)`` the seen class with the highest score.
        best_unseen: ``(rows,)`` the unseen class with the highest score.
        lead: ``(rows,)`` score of `best_seen` less that of `best_unseen`.
    """

    labels: Integers
    best_seen: Integers
    best_unseen: Integers
    lead: Floats

    @classmethod
    def from_scores(cls, scores: ArrayLike, labels: ArrayLike, seen_count: int) -> ScoredRows:
        """From ``(rows, classes)`` scores (logits or log-probabilities) of all classes."""
        values = np.asarray(scores, dtype=np.float64)
        seen, unseen = values[:, :seen_count], values[:, seen_count:]
        return cls(
            labels=np.asarray(labels, dtype=np.int64),
            best_seen=seen.argmax(axis=1),
            best_unseen=seen_count + unseen.argmax(axis=1),
            lead=seen.max(axis=1) - unseen.max(axis=1),
        )

    @classmethod
    def joined(cls, parts: Iterable[ScoredRows]) -> ScoredRows:
        """All rows of the parts, in order; none of no parts."""
        none = np.empty(0, dtype=np.int64)
        every = [cls(none, none, none, none.astype(np.float64)), *parts]
        return cls(*(np.concatenate([vars(one)[name] for one in every]) for name in vars(every[0])))

    def predictions(self, factor: float) -> Integers:
        """Classes under calibrated stacking: seen scores are lowered by `factor`; a tie is seen."""
        return np.where(self.lead >= factor, self.best_seen, self.best_unseen)


@dataclass(frozen=True)
class SeenUnseenCurve:
    """S and U as functions of the calibration factor: constant between `factors`.

    Attributes:
        factors: ``(points - 1,)`` ascending; where a row changes sides.
        seen: ``(points,)`` S, falling.
        unseen: ``(points,)`` U, rising.
    """

    factors: Floats
    seen: Floats
    unseen: Floats

    @property
    def area(self) -> float:
        """AUSUC: area under S over U (Chao et al., ECCV 2016), by the trapezoidal rule."""
        return float(np.sum(np.diff(self.unseen) * (self.seen[1:] + self.seen[:-1]) / 2))

    def best_factor(self) -> float:
        """The factor with the highest H: the middle of its interval, the first if several."""
        return best_common_factor([self])


def best_common_factor(curves: Sequence[SeenUnseenCurve]) -> float:
    """The factor with the highest mean H: the middle of its interval, the first if several."""
    factors = np.unique(np.concatenate([curve.factors for curve in curves]))
    edges = np.concatenate([factors[:1] - 1, factors, factors[-1:] + 1])
    tried = (edges[:-1] + edges[1:]) / 2
    total = np.zeros(len(tried))
    for curve in curves:
        point = np.searchsorted(curve.factors, tried)
        total += harmonic_means(curve.unseen[point], curve.seen[point])
    return float(tried[int(np.argmax(total))])


@dataclass(frozen=True)
class Metrics:
    """Figures of one classifier at one calibration factor, fractions in [0, 1].

    A figure is NaN where the rows that it is of, of seen or of unseen classes, are not there.
    `per_class` holds the top-1 accuracy of every class that has test rows, by class number.
    """

    U: float
    S: float
    H: float
    T1: float
    AUSUC: float
    per_class: dict[int, float]


def per_class_accuracy(labels: Integers, predictions: Integers) -> dict[int, float]:
    """Top-1 accuracy of each class that occurs in `labels`."""
    classes, numbers = np.unique(labels, return_inverse=True)
    correct = np.bincount(numbers, weights=predictions == labels)
    accuracies = correct / np.bincount(numbers, minlength=len(classes))
    return dict(zip(classes.tolist(), accuracies.tolist(), strict=True))


def harmonic_means(unseen: ArrayLike, seen: ArrayLike) -> Floats:
    """H = 2 U S / (U + S), 0 where both are 0."""
    u, s = np.asarray(unseen, dtype=np.float64), np.asarray(seen, dtype=np.float64)
    both = u + s
    return np.asarray(np.divide(2 * u * s, both, out=np.zeros_like(both), where=both > 0))


def seen_unseen_curve(seen: ScoredRows, unseen: ScoredRows) -> SeenUnseenCurve:
    """The whole curve from one sort.

    A seen row counts while the factor is at most its lead, if its best seen class is right; an
    unseen row counts from above its lead on, if its best unseen class is right.
    """
    leads = np.concatenate([seen.lead, unseen.lead])
    gain = np.concatenate(
        [
            -_row_weights(seen.labels) * (seen.best_seen == seen.labels),
            _row_weights(unseen.labels) * (unseen.best_unseen == unseen.labels),
        ]
    )
    is_seen = np.arange(len(leads)) < len(seen.lead)
    factors, where = np.unique(leads, return_inverse=True)
    lost = np.bincount(where, weights=gain * is_seen, minlength=len(factors))
    won = np.bincount(where, weights=gain * ~is_seen, minlength=len(factors))
    return SeenUnseenCurve(
        factors=factors,
        seen=np.clip(np.concatenate([[0], np.cumsum(lost)]) - lost.sum(), 0, 1),
        unseen=np.clip(np.concatenate([[0], np.cumsum(won)]), 0, 1),
    )


def measure(seen: ScoredRows, unseen: ScoredRows, factor: float = 0.0) -> Metrics:
    """All metrics at a calibration factor; T1 and AUSUC do not depend on it.

    T1 is the mean per-class accuracy of the unseen rows among the unseen classes only, by the
    same classifier (the end of the seen-unseen curve).
    """
    seen_accuracy = per_class_accuracy(seen.labels, seen.predictions(factor))
    unseen_accuracy = per_class_accuracy(unseen.labels, unseen.predictions(factor))
    s, u = _mean(seen_accuracy), _mean(unseen_accuracy)
    both = bool(seen_accuracy and unseen_accuracy)
    alone = per_class_accuracy(unseen.labels, unseen.best_unseen)
    return Metrics(
        U=u,
        S=s,
        H=float(harmonic_means(u, s)) if both else math.nan,
        T1=_mean(alone),
        AUSUC=seen_unseen_curve(seen, unseen).area if both else math.nan,
        per_class=seen_accuracy | unseen_accuracy,
    )


def _mean(accuracies: dict[int, float]) -> float:
    return float(np.mean(list(accuracies.values()))) if accuracies else math.nan


def _row_weights(labels: Integers) -> Floats:
    """What a correct row adds to the mean per-class accuracy."""
    _, where, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return 1 / (counts[where] * len(counts))
