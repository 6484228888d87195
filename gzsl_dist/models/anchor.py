"""Where a class lies, predicted from its semantics: the generator's anchor. Beyond the paper.

A generator learns where unseen classes lie, and a closed-form regression of class means on
semantics knows it better. So the generator may be given the regression, frozen, and learn what is
left: ``x~ = ReLU(m(a) + R(z, a))`` (`gzsl_dist.models.generator`), with

    m(a) = b + sum_j k(a, l_j) v_j,    ||M - m(A)||^2 + lambda ||m||_k^2  at its minimum.

M are the means of the training classes, A their semantics, all of length 1. ``ridge``: k is the
inner product. ``kernel_ridge``: ``k(a, l) = exp(-||a - l||^2 / (width s))`` with s the median
squared distance of two classes. Both have k(a, a) = 1, so one lambda means the same for both. The
intercept b is not penalized: with a large lambda, m is the mean of all classes.

Ridge regression of visual prototypes: Changpinyo et al., ICCV 2017 (with kernels: IJCV 2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

WIDTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Tried where none is given."""

LANDMARKS = 2048
"""Classes l_j of the kernel at most; of more, as many are taken evenly (Nystroem's method)."""


class Anchor(nn.Module):
    """m(a), a fixed function of semantics; its values are buffers, saved with the weights.

    Its form is ``ridge`` or ``kernel_ridge``; it is fitted to so many classes.
    """

    landmarks: Tensor | None
    inverse_width: Tensor
    weight: Tensor
    intercept: Tensor

    def __init__(self, form: str, classes: int, semantic_dim: int, feature_dim: int) -> None:
        super().__init__()
        self.form = form
        terms, landmarks = semantic_dim, None
        if form == "kernel_ridge":
            terms = min(classes, LANDMARKS)
            landmarks = torch.zeros(terms, semantic_dim)
        self.register_buffer("landmarks", landmarks)
        self.register_buffer("inverse_width", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(terms, feature_dim))
        self.register_buffer("intercept", torch.zeros(feature_dim))

    def forward(self, semantics: Tensor) -> Tensor:
        """``(classes, d_x)`` of ``(classes, d_a)``; never in half precision."""
        with torch.autocast(semantics.device.type, enabled=False):
            unit = normalize(semantics.to(self.weight), dim=1)
            terms = similarities(unit, self.landmarks, self.inverse_width)
            return terms @ self.weight + self.intercept

    @torch.no_grad()
    def take(self, regression: Regression) -> None:
        """Become a fitted regression."""
        if self.landmarks is not None and regression.landmarks is not None:
            self.landmarks.copy_(regression.landmarks)
        self.inverse_width.fill_(regression.inverse_width)
        self.weight.copy_(regression.weight)
        self.intercept.copy_(regression.intercept)


@dataclass(frozen=True)
class Regression:
    """A fitted m, in float64.

    Attributes:
        width: of the kernel, None for the inner product.
        penalty: lambda.
        landmarks: ``(terms, d_a)`` of length 1, None for the inner product.
        inverse_width: 1 / (width s), 0 for the inner product.
        weight: ``(terms, d_x)``.
        intercept: ``(d_x,)``.
        left_out: ``(classes, d_x)`` m of each class, fitted to all the others.
        determination: 1 less the squared error of `left_out` in parts of that of the others' mean:
            1 where semantics tell all of where a class lies, 0 or less where nothing.
    """

    width: float | None
    penalty: float
    landmarks: Tensor | None
    inverse_width: float
    weight: Tensor
    intercept: Tensor
    left_out: Tensor
    determination: float

    def __call__(self, semantics: Tensor) -> Tensor:
        """``(classes, d_x)`` of ``(classes, d_a)``."""
        unit = normalize(semantics.double(), dim=1)
        inverse_width = torch.tensor(self.inverse_width, dtype=torch.float64)
        terms = similarities(unit, self.landmarks, inverse_width)
        return terms @ self.weight + self.intercept


def similarities(unit: Tensor, landmarks: Tensor | None, inverse_width: Tensor) -> Tensor:
    """The terms of m: ``k(a, l_j)``, or the values of a where k is the inner product."""
    if landmarks is None:
        return unit
    return torch.exp(2 * inverse_width * (unit @ landmarks.T - 1))  # all have length 1


def regressions(
    form: str,
    semantics: Tensor,
    means: Tensor,
    widths: Sequence[float] = WIDTHS,
    penalties: Sequence[float] = PENALTIES,
) -> Iterator[Regression]:
    """Fit at every width and penalty, in closed form.

    Args:
        form: ``ridge`` (without a width) or ``kernel_ridge``.
        semantics: ``(classes, d_a)`` of the classes to fit to, two or more.
        means: ``(classes, d_x)`` of their rows.
        widths: of the kernel, in parts of the median squared distance.
        penalties: values of lambda.
    """
    unit, means = normalize(semantics.double(), dim=1), means.double()
    if form == "ridge":
        # the inner product of few classes has few terms that count
        back = None if len(unit) >= unit.shape[1] else unit.T @ _inverse_root(unit @ unit.T)
        yield from _fits(None, None, 0.0, unit, back, means, penalties)
        return
    count = min(len(unit), LANDMARKS)
    landmarks = unit[torch.arange(count) * len(unit) // count]
    distances = 2 - 2 * (landmarks @ landmarks.T)
    upper = torch.triu_indices(count, count, 1)
    median = float(distances[upper[0], upper[1]].median().clamp_min(1e-12))
    for width in widths:
        inverse_width = 1 / (width * median)
        scale = torch.tensor(inverse_width, dtype=torch.float64)
        terms = similarities(unit, landmarks, scale)
        back = _inverse_root(similarities(landmarks, landmarks, scale))
        yield from _fits(width, landmarks, inverse_width, terms, back, means, penalties)


def best_left_out(fitted: Iterator[Regression]) -> Regression:
    """The one that predicts left-out classes best, the first of equals."""
    return max(fitted, key=lambda one: one.determination)


def _fits(
    width: float | None,
    landmarks: Tensor | None,
    inverse_width: float,
    terms: Tensor,
    back: Tensor | None,
    means: Tensor,
    penalties: Sequence[float],
) -> Iterator[Regression]:
    """Ridge regression of means on ``terms @ back``, whose inner products are the kernel's."""
    basis = terms if back is None else terms @ back
    count, center, mean = len(means), basis.mean(dim=0), means.mean(dim=0)
    centered, target = basis - center, means - mean
    values, vectors = torch.linalg.eigh(centered.T @ centered)
    turned = centered @ vectors
    projected = turned.T @ target
    total = (target * count / (count - 1)).square().sum().clamp_min(1e-300)  # others' mean
    for penalty in penalties:
        shrunk = 1 / (values.clamp_min(0) + penalty)
        coefficients = vectors @ (shrunk[:, None] * projected)
        # leverage of each class on itself, the intercept's part included
        leverage = 1 / count + (turned.square() * shrunk).sum(dim=1)
        errors = (target - centered @ coefficients) / (1 - leverage).clamp_min(1e-12)[:, None]
        yield Regression(
            width,
            penalty,
            landmarks,
            inverse_width,
            weight=coefficients if back is None else back @ coefficients,
            intercept=mean - center @ coefficients,
            left_out=means - errors,
            determination=1 - float(errors.square().sum() / total),
        )


def _inverse_root(matrix: Tensor) -> Tensor:
    """Inverse square root of a positive semidefinite matrix, of what is not zero in it."""
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > 1e-12 * values[-1]
    root: Tensor = vectors[:, kept] * values[kept].rsqrt()
    return root
