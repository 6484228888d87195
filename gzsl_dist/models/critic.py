"""Conditional Wasserstein critic with its input gradient in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gzsl_dist.models.initialize import initialize

SLOPE = 0.2


class Critic(nn.Module):
    """D: [x; a] -> hidden, LeakyReLU 0.2 -> 1 (f-CLSWGAN, Xian et al., CVPR 2018; CE-GZSL).

    The first layer is kept as its two parts, one for x and one for a; their sum is the layer on
    the concatenation. What the first layer returns is called *activation* here (before the
    LeakyReLU); score and input gradient are functions of it.

    Args:
        feature_dim: d_x.
        semantic_dim: d_a.
        hidden_dim: width of the hidden layer (CE-GZSL: 4096).
    """

    def __init__(self, feature_dim: int, semantic_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden_feature = nn.Linear(feature_dim, hidden_dim)
        self.hidden_semantic = nn.Linear(semantic_dim, hidden_dim, bias=False)
        self.output = nn.Linear(hidden_dim, 1)
        initialize(self)

    def activation(self, features: Tensor, semantics: Tensor) -> Tensor:
        """First layer, ``(rows, hidden)``, of ``(rows, d_x)`` and ``(rows, d_a)``.

        It is affine in x: of ``eps x + (1 - eps) x~`` it is ``eps`` times that of x plus
        ``1 - eps`` times that of x~, so interpolated rows need no matrix product of their own.
        """
        result: Tensor = self.hidden_feature(features) + self.hidden_semantic(semantics)
        return result

    def score(self, activation: Tensor) -> Tensor:
        """Critic score D, ``(rows,)``, of an activation."""
        score: Tensor = self.output(leaky_relu(activation, SLOPE))
        return score[:, 0]

    def input_gradient(self, activation: Tensor) -> Tensor:
        """``grad_x D``, ``(rows, d_x)``, at the rows that have this activation.

        In closed form ``(w2 * s) W1x`` with s = 1 or 0.2 by the sign of the activation: no second
        differentiation, so one graph and one backward pass, safe under DDP and ZeRO.
        """
        slopes = torch.full_like(activation, SLOPE).masked_fill(activation > 0, 1)
        return (slopes * self.output.weight) @ self.hidden_feature.weight

    def forward(self, features: Tensor, semantics: Tensor) -> Tensor:
        """Critic score D(x, a), ``(rows,)``."""
        return self.score(self.activation(features, semantics))
