"""Simulated data sets with the shapes of real ones and structure that can be learned."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gzsl_dist.data.dataset import Dataset, FloatArray, IntArray
from gzsl_dist.data.draws import Stream, permutation, philox
from gzsl_dist.data.features import BLOCK_ROWS
from gzsl_dist.errors import InputError


@dataclass(frozen=True)
class Shape:
    """Sizes of a data set: classes, d_x, d_a and rows."""

    seen: int
    unseen: int
    feature_dim: int
    semantic_dim: int
    rows: int


SHAPES = {
    "cub": Shape(150, 50, 2048, 1024, 11_788),
    "awa2": Shape(40, 10, 2048, 85, 37_322),
    "sun": Shape(645, 72, 2048, 102, 14_340),
    "imagenet21k": Shape(20_841, 1_000, 2048, 512, 109_205),
}
"""Classes, d_x (ResNet-101), d_a and rows as published; imagenet21k with five rows a class."""

FRESH_ROWS = 2**40  # the first draw of rows beside those of a data set
MINIMUM_ROWS = 4  # of a class: one to measure S on, and enough to train and validate


def shape_of(
    like: str, rows: int | None = None, classes: int | None = None, feature_dim: int | None = None
) -> Shape:
    """A shape with another number of rows or classes, as many of them unseen, or another d_x.

    Raises:
        InputError: unknown `like`, fewer than 8 classes, or too few rows.
    """
    if like not in SHAPES:
        raise InputError(f"like {like!r}: no such shape; choose from {', '.join(SHAPES)}")
    shape = SHAPES[like]
    count = shape.seen + shape.unseen
    if classes is not None:
        if classes < 8:
            raise InputError(f"--classes {classes}: must be at least 8")
        unseen = max(2, round(classes * shape.unseen / count))
        scaled = round(shape.rows * classes / count)
        shape = replace(shape, seen=classes - unseen, unseen=unseen, rows=scaled)
        count = classes
    shape = replace(shape, rows=rows or shape.rows, feature_dim=feature_dim or shape.feature_dim)
    if shape.rows < MINIMUM_ROWS * count:
        raise InputError(
            f"--rows {shape.rows}: {count} classes like {like} need at least "
            f"{MINIMUM_ROWS * count} rows"
        )
    return shape


def simulate(
    like: str,
    rows: int | None = None,
    seed: int = 0,
    private: float = 0.0,
    classes: int | None = None,
    feature_dim: int | None = None,
) -> Dataset:
    """Draw a data set; its features are drawn when they are asked for.

    A class's mean is a fixed random two-layer function of its semantics, so unseen classes can be
    inferred, and a `private` part that cannot; rows scatter around it along a few directions that
    all classes share, and features are cut at zero as after a ReLU. Rows are dealt to classes in
    turn; a fifth of each seen class's rows are test rows; a third of the seen classes are
    validation classes.

    Args:
        like: ``cub``, ``awa2``, ``sun`` or ``imagenet21k``.
        rows: number of rows; default as published.
        seed: decides everything.
        private: share of the variance of class means that semantics do not tell, in [0, 1).
        classes: number of classes; default as published.
        feature_dim: d_x; default as published.

    Raises:
        InputError: unknown `like`, `private` out of its range, or fewer rows than `MINIMUM_ROWS`
            a class.
    """
    shape = shape_of(like, rows, classes, feature_dim)
    count = shape.seen + shape.unseen
    if not 0 <= private < 1:
        raise InputError(f"--private {private:g}: must be 0 or more, and below 1")
    semantics, class_means, draw = _classes(shape, private, seed)
    means = class_means(semantics, draw)
    labels = np.arange(shape.rows, dtype=np.int64) % count
    return Dataset(
        name=f"simulated-{like}",
        features=SimulatedFeatures(means, labels, seed),
        labels=labels,
        semantics=semantics,
        classes=tuple(f"class {number + 1}" for number in range(count)),
        splits=_splits(labels, shape, permutation(seed, Stream.SPLIT, 1, count)),
    )


def _classes(
    shape: Shape, private: float, seed: int
) -> tuple[FloatArray, _ClassMeans, np.random.Generator]:
    """Semantics of all classes, what makes means of them, and the draw to go on with."""
    draw = np.random.Generator(philox(seed, Stream.SPLIT, 0))
    size = (shape.seen + shape.unseen, shape.semantic_dim)
    semantics = draw.standard_normal(size, dtype=np.float32)
    return semantics, _ClassMeans(shape, private, draw), draw


class _ClassMeans:
    """A fixed random two-layer function of semantics, and a share of variance beside it."""

    def __init__(self, shape: Shape, private: float, draw: np.random.Generator) -> None:
        hidden, width = 64, shape.semantic_dim
        self._first = draw.standard_normal((width, hidden), dtype=np.float32)
        self._second = draw.standard_normal((hidden, shape.feature_dim), dtype=np.float32)
        self._second /= np.float32(hidden**0.5)
        self._private = private

    def __call__(self, semantics: FloatArray, draw: np.random.Generator) -> FloatArray:
        """Means of classes, ``(classes, d_x)``; what semantics do not tell is drawn."""
        means = self._mean(semantics)
        if self._private:
            hidden = self._mean(draw.standard_normal(semantics.shape, dtype=np.float32))
            means *= np.float32((1 - self._private) ** 0.5)
            means += np.float32(self._private**0.5) * hidden
        return means

    def _mean(self, semantics: FloatArray) -> FloatArray:
        inner = semantics @ self._first
        mean: FloatArray = np.tanh(inner / np.float32(len(self._first) ** 0.5)) @ self._second
        return mean


def reachable_t1(
    like: str,
    rows: int | None = None,
    seed: int = 0,
    private: float = 0.0,
    classes: int | None = None,
    feature_dim: int | None = None,
) -> float:
    """T1 of a linear discriminant that knows how the data are made: how hard they are.

    It is fitted to rows of the unseen classes drawn from their semantics, each with a private part
    of its own, as by a perfect generator, and classifies the unseen test rows of `simulate` with
    the same arguments. How much its covariance is shrunk is chosen on other drawn rows. In [0, 1].
    """
    data = simulate(like, rows, seed, private, classes, feature_dim)
    semantics, class_means, _ = _classes(shape_of(like, rows, classes, feature_dim), private, seed)
    test = data.splits["test_unseen"]
    unseen = np.unique(data.labels[test])
    each = min(200, -(-20_000 // len(unseen)))
    known = np.repeat(np.arange(len(unseen)), each)

    def drawn(number: int) -> FloatArray:
        fresh = np.random.Generator(philox(seed, Stream.SPLIT, 1 + number))
        means = class_means(semantics[unseen[known]], fresh)
        first_draw = number * FRESH_ROWS
        return SimulatedFeatures(means, np.arange(len(known)), seed, first_draw)[:]

    fitted = drawn(1)
    centers = fitted.reshape(len(unseen), each, -1).mean(axis=1)
    residual = fitted - centers[known]
    variances, axes = np.linalg.eigh(residual.T @ residual / len(known))
    centers, chosen, measured = centers @ axes, drawn(2) @ axes, data.features[test] @ axes

    def found(features: FloatArray, shrinkage: float) -> IntArray:
        precision = 1 / ((1 - shrinkage) * variances + shrinkage * variances.mean())
        weights = (centers * precision).T
        number: IntArray = (features @ weights - (centers.T * weights).sum(0) / 2).argmax(axis=1)
        return number

    best = max(np.arange(0.05, 1, 0.1), key=lambda share: np.mean(found(chosen, share) == known))
    right = unseen[found(measured, best)] == data.labels[test]
    return float(np.mean([right[data.labels[test] == label].mean() for label in unseen]))


class SimulatedFeatures:
    """Rows around ``(classes, d_x)`` means, drawn block by block from the seed: none are kept."""

    def __init__(self, means: FloatArray, labels: IntArray, seed: int, first_draw: int = 1) -> None:
        self._means, self._labels, self._seed = means, labels, seed
        self._first_draw = first_draw
        self.shape = (len(labels), means.shape[1])
        draw = np.random.Generator(philox(seed, Stream.SIMULATED, 0))
        directions = 32
        self._shared = draw.standard_normal((directions, means.shape[1]), dtype=np.float32)
        self._shared /= np.float32(directions**0.5)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, rows: slice | IntArray) -> FloatArray:
        """Draw rows of a slice, or of row numbers."""
        numbers = np.arange(len(self))[rows]
        found = np.empty((len(numbers), self.shape[1]), dtype=np.float32)
        for block in np.unique(numbers // BLOCK_ROWS):
            here = numbers // BLOCK_ROWS == block
            found[here] = self._block(int(block))[numbers[here] - block * BLOCK_ROWS]
        return found

    def _block(self, number: int) -> FloatArray:
        draw = np.random.Generator(philox(self._seed, Stream.SIMULATED, self._first_draw + number))
        labels = self._labels[number * BLOCK_ROWS : (number + 1) * BLOCK_ROWS]
        directions, width = self._shared.shape
        scatter = draw.standard_normal((len(labels), directions), dtype=np.float32) @ self._shared
        noise = draw.standard_normal((len(labels), width), dtype=np.float32)
        rows: FloatArray = np.maximum(self._means[labels] + 0.5 * scatter + 0.3 * noise, 0)
        return rows


def _splits(labels: IntArray, shape: Shape, order: IntArray) -> dict[str, IntArray]:
    """Unseen, then validation classes are the first of a random order."""
    count = len(order)
    unseen = np.isin(labels, order[: shape.unseen])
    validation = np.isin(labels, order[shape.unseen : shape.unseen + shape.seen // 3])
    within = np.arange(len(labels)) // count  # a row's number within its class
    test_seen = ~unseen & (within % 5 == 3)
    trainval = ~unseen & ~test_seen
    return {
        "trainval": np.flatnonzero(trainval),
        "test_seen": np.flatnonzero(test_seen),
        "test_unseen": np.flatnonzero(unseen),
        "train": np.flatnonzero(trainval & ~validation),
        "val": np.flatnonzero(trainval & validation),
    }
