"""What a baseline offers to model selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

PENALTIES = (1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Tried for every penalty; 1 is as strong as the mean diagonal of the matrix it is added to."""

UNCHOSEN = {
    "ridge": {"feature_penalty": 1.0, "semantic_penalty": 1.0},
    "nearest_prototype": {"semantic_penalty": 0.1},
}
"""By method, where no validation classes choose: the middle of what is tried."""


@dataclass(frozen=True)
class Candidate:
    """A fitted baseline at some penalties.

    Attributes:
        settings: its penalties by name.
        score: scores ``(rows, classes)`` of features ``(rows, d_x)``.
    """

    settings: dict[str, float]
    score: Callable[[Tensor], Tensor]


def linear_scores(weight: Tensor, center: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    """Scores by ``(d_x, classes)`` of features scaled to length 1, less ``center`` ``(d_x,)``."""
    offset = 0.0 if center is None else center @ weight
    return lambda features: normalize(features.double(), dim=1) @ weight - offset


def penalized_solve(matrix: Tensor, penalty: float, values: Tensor) -> Tensor:
    """``(matrix + penalty * mean diagonal * I)^-1 values`` of a positive semidefinite matrix."""
    penalized = matrix + penalty * matrix.diagonal().mean() * torch.eye(len(matrix)).to(matrix)
    return torch.cholesky_solve(values, torch.linalg.cholesky(penalized))
