"""Scaling of features and semantics before they enter the networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gzsl_dist.data.dataset import FloatArray, IntArray
from gzsl_dist.data.features import BLOCK_ROWS, Features

Transform = Literal["none", "sqrt", "log1p"]


@dataclass(frozen=True)
class Scaling:
    """Min-max scaling to [0, 1], fitted on training rows only (CE-GZSL), after a transform.

    Attributes:
        transform: ``none``, or ``sqrt`` or ``log1p`` for features >= 0 with long tails.
        minimum: ``(d_x,)`` of the transformed training rows.
        extent: ``(d_x,)`` maximum less minimum; 1 where a feature is constant.
    """

    transform: Transform
    minimum: FloatArray
    extent: FloatArray

    @classmethod
    def fit(
        cls, features: Features, transform: Transform = "none", rows: IntArray | None = None
    ) -> Scaling:
        """Fit on these rows (default all) of ``(rows, d_x)`` features, block by block."""
        numbers = np.arange(len(features)) if rows is None else np.sort(rows)
        minimum = np.full(features.shape[1], np.inf, dtype=np.float32)
        maximum = -minimum
        for first in range(0, len(numbers), BLOCK_ROWS):
            block = apply_transform(features[numbers[first : first + BLOCK_ROWS]], transform)
            np.minimum(minimum, block.min(axis=0), out=minimum)
            np.maximum(maximum, block.max(axis=0), out=maximum)
        extent = maximum - minimum
        return cls(transform, minimum, np.where(extent > 0, extent, 1).astype(np.float32))

    @classmethod
    def none(cls, width: int) -> Scaling:
        """Features stay as they are."""
        return cls("none", np.zeros(width, np.float32), np.ones(width, np.float32))

    def __call__(self, features: FloatArray) -> FloatArray:
        """Scale ``(rows, d_x)``; rows outside the training range leave [0, 1] and stay so."""
        scaled: FloatArray = apply_transform(features, self.transform) - self.minimum
        scaled /= self.extent
        return scaled

    def restore(self, scaled: FloatArray) -> FloatArray:
        """The features ``(rows, d_x)`` whose scaled values these are, within rounding."""
        transformed: FloatArray = scaled * self.extent + self.minimum
        if self.transform == "sqrt":
            return np.sign(transformed) * transformed**2
        if self.transform == "log1p":
            return np.sign(transformed) * np.expm1(np.abs(transformed))
        return transformed


def apply_transform(features: FloatArray, transform: Transform) -> FloatArray:
    """``sign(x) sqrt|x|`` or ``sign(x) log(1 + |x|)``, so that no feature is refused."""
    result: FloatArray
    if transform == "sqrt":
        result = np.sign(features) * np.sqrt(np.abs(features))
    elif transform == "log1p":
        result = np.sign(features) * np.log1p(np.abs(features))
    else:
        result = features
    return result.astype(np.float32, copy=False)


def scale_semantics(semantics: FloatArray, norm: float | None) -> FloatArray:
    """Scale every row of ``(classes, d_a)`` to Euclidean length `norm`; None keeps them."""
    if norm is None:
        return semantics
    lengths = np.linalg.norm(semantics, axis=1, keepdims=True)
    scaled: FloatArray = (semantics * (norm / lengths)).astype(np.float32)
    return scaled
