from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gzsl_dist.losses.wgan import generator_loss, gradient_penalty, wasserstein_loss

from .problems import EXAMPLES, assert_same, partitions, value_and_gradients, with_gradient


def normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


sizes_and_seeds = {"rows": st.integers(1, 6), "seed": st.integers(0, 1000)}


@EXAMPLES
@given(**sizes_and_seeds)
def test_wasserstein_loss_equals_plain_loops(rows: int, seed: int) -> None:
    assert_same(
        lambda real, fake: wasserstein_loss(real, fake, rows),
        lambda real, fake: sum(list(fake)) / rows - sum(list(real)) / rows,
        [normal(rows, seed=seed), normal(rows, seed=seed + 1)],
    )


@EXAMPLES
@given(**sizes_and_seeds)
def test_generator_loss_equals_plain_loops(rows: int, seed: int) -> None:
    assert_same(
        lambda fake: generator_loss(fake, rows),
        lambda fake: -sum(list(fake)) / rows,
        [normal(rows, seed=seed)],
    )


@EXAMPLES
@given(**sizes_and_seeds, dim=st.integers(1, 4))
def test_gradient_penalty_equals_plain_loops(rows: int, seed: int, dim: int) -> None:
    assert_same(
        lambda gradient: gradient_penalty(gradient, rows),
        lambda gradient: (
            sum((sum(value * value for value in row) ** 0.5 - 1) ** 2 for row in gradient) / rows
        ),
        [normal(rows, dim, seed=seed)],
    )


def test_signs() -> None:
    high, low = torch.tensor([2.0, 4.0]), torch.tensor([-1.0, 1.0])
    # A critic that scores real rows higher has the lower loss; the generator wants high scores.
    assert wasserstein_loss(real_scores=high, fake_scores=low, total=2) == -3
    assert wasserstein_loss(real_scores=low, fake_scores=high, total=2) == 3
    assert generator_loss(high, total=2) == -3


def test_gradcheck() -> None:
    real, fake = with_gradient(normal(3, seed=0)), with_gradient(normal(3, seed=1))
    gradient = with_gradient(normal(3, 4, seed=2))
    assert torch.autograd.gradcheck(lambda r, f: wasserstein_loss(r, f, 3), (real, fake))
    assert torch.autograd.gradcheck(lambda f: generator_loss(f, 3), fake)
    assert torch.autograd.gradcheck(lambda g: gradient_penalty(g, 3), gradient)


@EXAMPLES
@given(**sizes_and_seeds, data=st.data())
def test_shares_of_the_rows_add_up(rows: int, seed: int, data: st.DataObject) -> None:
    shares = data.draw(partitions(rows))
    inputs = [normal(rows, seed=seed), normal(rows, seed=seed + 1), normal(rows, 3, seed=seed + 2)]

    def loss(real: Tensor, fake: Tensor, gradient: Tensor) -> Tensor:
        return torch.stack(
            [
                wasserstein_loss(real, fake, rows),
                2 * generator_loss(fake, rows),
                3 * gradient_penalty(gradient, rows),
            ]
        ).sum()

    assert_same(
        lambda *whole: torch.stack([loss(*(part[s] for part in whole)) for s in shares]).sum(),
        loss,
        inputs,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_zero_gradient_is_penalized_by_1_without_nan(dtype: torch.dtype) -> None:
    value, (derivative,) = value_and_gradients(
        lambda gradient: gradient_penalty(gradient, 2), [torch.zeros(2, 3, dtype=dtype)]
    )
    assert value == 1
    assert (derivative == 0).all()


def test_unit_gradients_are_not_penalized() -> None:
    value, (derivative,) = value_and_gradients(
        lambda gradient: gradient_penalty(gradient, 3), [torch.eye(3, dtype=torch.float64)]
    )
    assert value == 0
    assert (derivative == 0).all()


def test_large_gradients_in_float32() -> None:
    value = gradient_penalty(torch.full((2, 4), 1e6), 2)
    assert value.item() == pytest.approx((2e6 - 1) ** 2, rel=1e-5)
    tiny = gradient_penalty(torch.full((2, 4), 1e-12), 2)
    assert tiny.item() == pytest.approx(1.0)


def test_half_precision_gives_float32() -> None:
    # 257 ones cannot be summed in bfloat16, which ends at 256.
    scores = torch.ones(257).bfloat16()
    assert wasserstein_loss(torch.zeros(257).bfloat16(), scores, 1) == 257
    assert generator_loss(scores, 1) == -257
    penalty = gradient_penalty(torch.full((1, 3), 2.0).bfloat16(), 1)
    assert penalty.item() == pytest.approx((math.sqrt(12) - 1) ** 2, rel=1e-6)
    for result in (
        wasserstein_loss(scores, scores, 1),
        generator_loss(scores, 1),
        penalty,
    ):
        assert result.dtype == torch.float32
