"""Conditional generator of visual features (f-CLSWGAN, Xian et al., CVPR 2018; CE-GZSL)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from gzsl_dist.models.initialize import initialize


class Generator(nn.Module):
    """G: [z; a] -> hidden, LeakyReLU 0.2 -> d_x, ReLU.

    Args:
        noise_dim: d_z.
        semantic_dim: d_a.
        hidden_dim: width of the hidden layer (CE-GZSL: 4096).
        feature_dim: d_x.
    """

    def __init__(
        self, noise_dim: int, semantic_dim: int, hidden_dim: int, feature_dim: int
    ) -> None:
        super().__init__()
        self.noise_dim = noise_dim
        self.hidden = nn.Linear(noise_dim + semantic_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, feature_dim)
        initialize(self)

    def forward(self, noise: Tensor, semantics: Tensor) -> Tensor:
        """Synthesize ``(rows, d_x)`` features >= 0 from ``(rows, d_z)`` and ``(rows, d_a)``."""
        hidden = leaky_relu(self.hidden(torch.cat([noise, semantics], dim=1)), 0.2)
        return relu(self.output(hidden))
