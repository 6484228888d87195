"""Small random problems for the loss tests, and how results are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

EXAMPLES = settings(deadline=None, max_examples=30, derandomize=True)


@dataclass(frozen=True)
class Problem:
    """Unit vectors of rows and prototypes, labels and settings of a margin loss."""

    embeddings: Tensor
    labels: Tensor
    prototypes: Tensor
    margin: float
    scale: float
    adaptive: bool

    @property
    def settings(self) -> dict[str, float | bool]:
        return {"margin": self.margin, "scale": self.scale, "adaptive": self.adaptive}


def unit_vectors(rows: int, dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, dim, generator=generator, dtype=torch.float64), dim=1)


def with_gradient(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_()


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Up to 6 rows of up to 4 classes: classes without rows and rows alone in theirs included."""
    classes = draw(st.integers(1, 4))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=6))
    dim = draw(st.integers(2, 3))
    seed = draw(st.integers(0, 10_000))
    return Problem(
        embeddings=unit_vectors(len(labels), dim, seed),
        labels=torch.tensor(labels),
        prototypes=unit_vectors(classes, dim, seed + 1),
        margin=draw(st.sampled_from([0.0, 0.1, 0.25, 0.6, 1.0])),
        scale=draw(st.sampled_from([0.5, 4.0, 16.0])),
        adaptive=draw(st.booleans()),
    )


@st.composite
def partitions(draw: st.DrawFn, size: int) -> list[slice]:
    """Slices that cover ``range(size)`` in order; some may be empty, and more than `size`."""
    cuts = sorted(draw(st.lists(st.integers(0, size), max_size=size + 2)))
    edges = [0, *cuts, size]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def value_and_gradients(
    loss: Callable[..., Tensor], inputs: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Loss of the inputs, and its gradients; zeros for what the loss does not depend on."""
    leaves = [with_gradient(tensor) for tensor in inputs]
    value = torch.as_tensor(loss(*leaves))
    if not value.requires_grad:
        return value, tuple(torch.zeros_like(leaf) for leaf in leaves)
    return value.detach(), torch.autograd.grad(value, leaves, materialize_grads=True)


def assert_same(
    actual: Callable[..., Tensor],
    expected: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    *,
    tolerance: float = 1e-10,
) -> None:
    """Two losses agree at the inputs, in value and in all gradients."""
    value, gradients = value_and_gradients(actual, inputs)
    expected_value, expected_gradients = value_and_gradients(expected, inputs)
    close = {"rtol": tolerance, "atol": tolerance, "check_dtype": False}
    torch.testing.assert_close(value, expected_value, **close)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, **close)


def assert_finite(loss: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """The loss is a finite scalar >= 0 with finite gradients; returns it."""
    value, gradients = value_and_gradients(loss, inputs)
    assert value.shape == ()
    assert value.isfinite()
    assert value >= 0
    for gradient in gradients:
        assert gradient.isfinite().all()
    return value
