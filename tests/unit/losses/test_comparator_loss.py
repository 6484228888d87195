from __future__ import annotations

import math
from decimal import Decimal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gzsl_dist.losses.comparator import comparator_loss

from .loops import comparator_loop, decimals
from .problems import EXAMPLES, assert_finite, assert_same, partitions, with_gradient


@st.composite
def scored_rows(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    classes = draw(st.integers(1, 4))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    scores = torch.randn(len(labels), classes, generator=generator, dtype=torch.float64)
    return scores, torch.tensor(labels)


@EXAMPLES
@given(problem=scored_rows(), temperature=st.sampled_from([0.1, 1.0, 3.0]))
def test_equals_plain_loops(problem: tuple[Tensor, Tensor], temperature: float) -> None:
    scores, labels = problem
    assert_same(
        lambda f: comparator_loss(f, labels, temperature=temperature, total=len(labels)),
        lambda f: comparator_loop(f, labels.tolist(), temperature),
        [scores],
    )


def test_gradcheck() -> None:
    scores = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 2, 2, 1])
    assert torch.autograd.gradcheck(
        lambda f: comparator_loss(f, labels, temperature=0.5, total=4), with_gradient(scores)
    )


@EXAMPLES
@given(problem=scored_rows(), data=st.data())
def test_order_of_rows_and_of_classes_does_not_matter(
    problem: tuple[Tensor, Tensor], data: st.DataObject
) -> None:
    scores, labels = problem
    rows = torch.tensor(data.draw(st.permutations(range(scores.shape[0]))))
    classes = torch.tensor(data.draw(st.permutations(range(scores.shape[1]))))
    new_name = torch.argsort(classes)
    total = len(labels)
    assert_same(
        lambda f: comparator_loss(
            f[rows][:, classes], new_name[labels][rows], temperature=0.1, total=total
        ),
        lambda f: comparator_loss(f, labels, temperature=0.1, total=total),
        [scores],
    )


@EXAMPLES
@given(problem=scored_rows(), data=st.data())
def test_shares_of_the_rows_add_up(problem: tuple[Tensor, Tensor], data: st.DataObject) -> None:
    scores, labels = problem
    total = len(labels)
    shares = data.draw(partitions(total))
    assert_same(
        lambda f: torch.stack(
            [
                comparator_loss(f[share], labels[share], temperature=0.1, total=total)
                for share in shares
            ]
        ).sum(),
        lambda f: comparator_loss(f, labels, temperature=0.1, total=total),
        [scores],
    )


@pytest.mark.parametrize("temperature", [0.1, 1 / 1024])
@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        pytest.param([[5.0], [-3.0]], [0, 0], id="one class"),
        pytest.param([[1.0, -1.0, 0.0]], [1], id="batch of 1"),
        pytest.param([[2.0, 2.0], [2.0, 2.0]], [0, 1], id="equal scores"),
        pytest.param([[80.0, -80.0], [-80.0, 80.0]], [0, 1], id="perfect"),
        pytest.param([[80.0, -80.0], [-80.0, 80.0]], [1, 0], id="all wrong"),
    ],
)
def test_extremes_in_float32(
    scores: list[list[float]], labels: list[int], temperature: float
) -> None:
    value = assert_finite(
        lambda f: comparator_loss(
            f, torch.tensor(labels), temperature=temperature, total=len(labels)
        ),
        [torch.tensor(scores)],
    )
    expected = comparator_loop(decimals(scores), labels, Decimal(temperature))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(float(expected), rel=1e-5, abs=1e-6)


def test_one_class_gives_0_and_equal_scores_the_logarithm_of_the_classes() -> None:
    labels = torch.tensor([0, 0])
    assert comparator_loss(torch.randn(2, 1), labels, temperature=0.1, total=2) == 0
    equal = comparator_loss(torch.ones(2, 7), labels, temperature=0.1, total=2)
    assert equal.item() == pytest.approx(math.log(7))


def test_half_precision_gives_float32() -> None:
    scores = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2, 2, 1])
    loss = comparator_loss(scores.bfloat16(), labels, temperature=0.1, total=4)
    assert loss.dtype == torch.float32
    expected = comparator_loss(scores.bfloat16().double(), labels, temperature=0.1, total=4)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert expected.dtype == torch.float64
