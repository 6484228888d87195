"""What the classifier's logits are of its parameters: a linear function, or cosines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import normalize


class Form(Protocol):
    """From parameters, a matrix ``(classes, d)`` and a bias ``(classes,)``, to logits and back.

    Logits of rows are ``rows @ weight.T + bias`` with the weight that `weight` makes. ``length`` is
    the root mean square length of all rows.
    """

    @property
    def penalty(self) -> float:
        """Of ``||matrix||^2 / 2`` beside the mean loss."""

    def start(self, sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Matrix and bias to begin with, from each class's sum of rows and number of them."""

    def weight(self, matrix: Tensor, length: float) -> Tensor:
        """``(classes, d)``."""

    def gradient(
        self, matrix: Tensor, of_weight: Tensor, of_bias: Tensor, length: float
    ) -> tuple[Tensor, Tensor]:
        """Gradients by matrix and bias, from those by weight and bias, in place."""


@dataclass(frozen=True)
class Linear:
    """``W x / length + b``: one penalty suits rows of any length."""

    penalty: float

    def start(self, sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Zero: the objective is convex."""
        return torch.zeros_like(sums), torch.zeros_like(counts)

    def weight(self, matrix: Tensor, length: float) -> Tensor:
        """See `Form`."""
        return matrix / length

    def gradient(
        self, matrix: Tensor, of_weight: Tensor, of_bias: Tensor, length: float
    ) -> tuple[Tensor, Tensor]:
        """See `Form`."""
        return of_weight.div_(length).add_(matrix, alpha=self.penalty), of_bias


@dataclass(frozen=True)
class Cosine:
    """``cos(w_c, x) / temperature``, for rows that all have one length; no bias, no penalty.

    As in few-shot classification (Gidaris and Komodakis, CVPR 2018). The objective is not convex:
    all start from class means, and rounding, which depends on the number of processes, could in
    principle lead elsewhere. A class without rows keeps the weight zero, and the lowest logit that
    there can be.
    """

    temperature: float
    penalty: float = 0.0

    def start(self, sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Class means, of length 1."""
        lowest = torch.where(counts > 0, 0.0, -1 / self.temperature)
        return normalize(sums, dim=1), lowest.to(counts)

    def weight(self, matrix: Tensor, length: float) -> Tensor:
        """See `Form`."""
        return normalize(matrix, dim=1) / (self.temperature * length)

    def gradient(
        self, matrix: Tensor, of_weight: Tensor, of_bias: Tensor, length: float
    ) -> tuple[Tensor, Tensor]:
        """See `Form`: that of a unit vector is what is left of it across the vector."""
        unit, norms = normalize(matrix, dim=1), matrix.norm(dim=1, keepdim=True)
        along = (of_weight * unit).sum(dim=1, keepdim=True)
        of_weight.addcmul_(unit, along, value=-1)
        of_weight /= norms.clamp_min(1e-12) * (self.temperature * length)
        return of_weight.masked_fill_(norms == 0, 0), of_bias.zero_()
