"""What a baseline offers to model selection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from gzsl_dist.data.features import BLOCK_ROWS
from gzsl_dist.data.problem import Problem

PENALTIES = (1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Tried for every penalty; 1 is as strong as the mean diagonal of the matrix it is added to."""

UNCHOSEN = {
    "ridge": {"feature_penalty": 1.0, "semantic_penalty": 1.0},
    "nearest_prototype": {"semantic_penalty": 0.1},
    "clip": {},
}
"""By method, where no validation classes choose: the middle of what is tried."""


@dataclass(frozen=True)
class Candidate:
    """A fitted baseline at some penalties: linear scores of features scaled to length 1.

    Attributes:
        settings: its penalties by name.
        weight: ``(classes, d_x)``, in float64.
        bias: ``(classes,)``.
    """

    settings: dict[str, float]
    weight: Tensor
    bias: Tensor

    def score(self, features: Tensor) -> Tensor:
        """Scores ``(rows, classes)`` of features ``(rows, d_x)``."""
        return normalize(features.double(), dim=1) @ self.weight.T + self.bias


def penalized_solve(matrix: Tensor, penalty: float, values: Tensor) -> Tensor:
    """``(matrix + penalty * mean diagonal * I)^-1 values`` of a positive semidefinite matrix."""
    penalized = matrix + penalty * matrix.diagonal().mean() * torch.eye(len(matrix)).to(matrix)
    return torch.cholesky_solve(values, torch.linalg.cholesky(penalized))


def unit_blocks(problem: Problem) -> Iterator[tuple[Tensor, Tensor]]:
    """Training rows scaled to length 1, in float64, and labels, block by block."""
    for first in range(0, len(problem.train), BLOCK_ROWS):
        part = slice(first, first + BLOCK_ROWS)
        features, labels = problem.train.features[part], problem.train.labels[part]
        yield normalize(features.double(), dim=1), labels
