"""Conditional Wasserstein critic with its input gradient in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gzsl_dist.models.class_layer import for_rows
from gzsl_dist.models.initialize import initialize
from gzsl_dist.models.precision import at_least_float32

SLOPE = 0.2


class Critic(nn.Module):
    """D: [x; a] -> hidden, LeakyReLU 0.2 -> 1 (f-CLSWGAN, Xian et al., CVPR 2018; CE-GZSL).

    The first layer, of width `hidden_dim` (CE-GZSL: 4096), is kept as its two parts, one for x and
    one for a; their sum is the layer on the concatenation. What it returns is called *activation*
    here (before the LeakyReLU); score and input gradient are functions of it.
    """

    def __init__(self, feature_dim: int, semantic_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden_feature = nn.Linear(feature_dim, hidden_dim)
        self.hidden_semantic = nn.Linear(semantic_dim, hidden_dim, bias=False)
        self.output = nn.Linear(hidden_dim, 1)
        initialize(self)

    def activation(
        self, features: Tensor, semantics: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """First layer, ``(rows, hidden)``, of ``(rows, d_x)`` and ``(rows, d_a)``.

        With ``(rows,)`` labels, `semantics` are those of all classes, ``(classes, d_a)``.

        It is affine in x: of ``eps x + (1 - eps) x~`` it is ``eps`` times that of x plus
        ``1 - eps`` times that of x~, so interpolated rows need no matrix product of their own.
        """
        return self.activations((features,), semantics, labels)[0]

    def activations(
        self, sets: tuple[Tensor, ...], semantics: Tensor, labels: Tensor | None = None
    ) -> list[Tensor]:
        """`activation` of several sets of rows that have the same classes, in one product."""
        classes = for_rows(self.hidden_semantic, semantics, labels)
        features = self.hidden_feature(torch.cat(sets))
        return [part + classes for part in features.chunk(len(sets))]

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
        gradient: Tensor = _SlopesTimesWeights.apply(  # type: ignore[no-untyped-call]
            slopes, self.output.weight, self.hidden_feature.weight
        )
        return gradient

    def forward(self, features: Tensor, semantics: Tensor, labels: Tensor | None = None) -> Tensor:
        """Critic score D(x, a), ``(rows,)``; arguments as in `activation`."""
        return self.score(self.activation(features, semantics, labels))


class _SlopesTimesWeights(torch.autograd.Function):
    """``(s * w2) W1``, with one matrix product in the backward pass instead of two.

    With M = s^T g for the gradient g of the result: that of W1 is ``w2 * M``, and that of w2 is
    ``sum_x W1 * M``, which needs no product ``g W1^T``.
    """

    @staticmethod
    def forward(ctx: Any, slopes: Tensor, output: Tensor, hidden: Tensor) -> Tensor:
        ctx.save_for_backward(slopes, output, hidden)
        return (slopes * output) @ hidden

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor]:
        slopes, output, hidden = ctx.saved_tensors
        product = at_least_float32(slopes.T @ gradients[0].to(slopes.dtype))
        of_output = torch.linalg.vecdot(hidden, product)[None]
        return None, of_output, product.mul_(output.T)  # in place: it is as large as W1
