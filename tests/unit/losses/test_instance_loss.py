from __future__ import annotations

from decimal import Decimal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import CircleLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor
from torch.nn.functional import normalize

from gzsl_dist.losses.instance import instance_loss

from .loops import decimals, instance_loop, numbers, similarity_table
from .problems import (
    EXAMPLES,
    Problem,
    assert_finite,
    assert_same,
    partitions,
    problems,
    unit_vectors,
    value_and_gradients,
    with_gradient,
)


def loop(problem: Problem, u: Tensor, at: list[list[float]] | None = None) -> Tensor:
    table = similarity_table(u, u)
    at = numbers(table) if at is None else at
    return instance_loop(table, problem.labels.tolist(), at, **problem.settings)


@EXAMPLES
@given(problem=problems())
def test_equals_plain_loops(problem: Problem) -> None:
    assert_same(
        lambda u: instance_loss(u, problem.labels, **problem.settings),
        lambda u: loop(problem, u),
        [problem.embeddings],
    )


def test_a_case_by_hand() -> None:
    # Rows a = (1, 0), b = (0.6, 0.8) of class 0 and c = (0, 1) alone in class 1, fixed weights.
    # a: s_ab = 0.6, s_ac = 0; b: s_ba = 0.6, s_bc = 0.8; c has no positive and no term.
    loss = instance_loss(
        torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], dtype=torch.float64),
        torch.tensor([0, 0, 1]),
        margin=0.0,
        scale=1.0,
        adaptive=False,
    )
    a = torch.tensor(0.0 - 0.6, dtype=torch.float64).exp()
    b = torch.tensor(0.8 - 0.6, dtype=torch.float64).exp()
    torch.testing.assert_close(loss, ((1 + a).log() + (1 + b).log()) / 2)


@EXAMPLES
@given(seed=st.integers(0, 1000), margin=st.sampled_from([0.1, 0.25, 0.4]))
def test_adaptive_weights_are_circle_loss(seed: int, margin: float) -> None:
    labels = torch.tensor([0, 1, 0, 2, 1, 1, 3, 0])  # classes 2 and 3 have no pair
    # Default reducer: the mean of terms above 0, which are just those of rows with a positive.
    assert_same(
        lambda u: instance_loss(normalize(u), labels, margin=margin, scale=5.0),
        lambda u: CircleLoss(m=margin, gamma=5.0)(u, labels),
        [3 * unit_vectors(8, 4, seed)],  # the oracle normalizes
        tolerance=1e-8,  # its softplus is linear above 20
    )


@EXAMPLES
@given(seed=st.integers(0, 1000), gamma=st.sampled_from([80.0, 256.0]))
def test_adaptive_weights_are_circle_loss_at_published_scales(seed: int, gamma: float) -> None:
    labels = torch.tensor([0, 1, 0, 2, 1, 1, 3, 0])
    # Here terms underflow to 0, so we take the mean over all 8 rows and correct for the 2 alone.
    oracle = CircleLoss(m=0.25, gamma=gamma, reducer=MeanReducer())
    assert_same(
        lambda u: instance_loss(normalize(u), labels, margin=0.25, scale=gamma),
        lambda u: oracle(u, labels) * 8 / 6,
        [3 * unit_vectors(8, 4, seed)],  # the oracle normalizes
        tolerance=1e-8,
    )


@pytest.mark.parametrize("seed", range(3))
def test_gradcheck_with_fixed_weights(seed: int) -> None:
    labels = torch.tensor([0, 1, 1, 0, 2])
    assert torch.autograd.gradcheck(
        lambda u: instance_loss(u, labels, margin=0.2, scale=3.0, adaptive=False),
        with_gradient(unit_vectors(5, 3, seed)),
    )


@EXAMPLES
@given(problem=problems())
def test_gradient_is_the_finite_difference_with_frozen_weights(problem: Problem) -> None:
    u = problem.embeddings
    at = numbers(similarity_table(u, u))
    _, (gradient,) = value_and_gradients(
        lambda u: instance_loss(u, problem.labels, **problem.settings), [u]
    )
    direction = unit_vectors(*u.shape, seed=77)
    step = 1e-6 * direction
    difference = loop(problem, u + step, at) - loop(problem, u - step, at)
    expected = torch.as_tensor(difference, dtype=torch.float64) / 2e-6
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-6, atol=1e-7)


@EXAMPLES
@given(problem=problems(), data=st.data())
def test_order_of_rows_and_names_of_classes_do_not_matter(
    problem: Problem, data: st.DataObject
) -> None:
    rows = torch.tensor(data.draw(st.permutations(range(len(problem.labels)))))
    assert_same(
        lambda u: instance_loss(u[rows], 7 - problem.labels[rows], **problem.settings),
        lambda u: instance_loss(u, problem.labels, **problem.settings),
        [problem.embeddings],
    )


@EXAMPLES
@given(problem=problems(), data=st.data())
def test_shares_of_the_anchors_add_up(problem: Problem, data: st.DataObject) -> None:
    shares = data.draw(partitions(len(problem.labels)))
    assert_same(
        lambda u: torch.stack(
            [
                instance_loss(u, problem.labels, anchors=share, **problem.settings)
                for share in shares
            ]
        ).sum(),
        lambda u: instance_loss(u, problem.labels, **problem.settings),
        [problem.embeddings],
    )


def test_an_empty_share_is_0_with_gradient_0() -> None:
    value, (gradient,) = value_and_gradients(
        lambda u: instance_loss(
            u, torch.tensor([0, 0, 1]), margin=0.1, scale=10.0, anchors=slice(3, 3)
        ),
        [unit_vectors(3, 2, 0)],
    )
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("scale", [10.0, 1024.0])
@pytest.mark.parametrize(
    ("embeddings", "labels"),
    [
        pytest.param([[1, 0], [0, 1], [0.6, 0.8]], [2, 2, 2], id="one class"),
        pytest.param([[1, 0], [0, 1], [0.6, 0.8]], [0, 1, 2], id="no positives"),
        pytest.param([[0.6, 0.8]], [1], id="batch of 1"),
    ],
)
def test_is_0_without_positives_or_without_negatives(
    embeddings: list[list[float]], labels: list[int], scale: float, adaptive: bool
) -> None:
    value, (gradient,) = value_and_gradients(
        lambda u: instance_loss(
            u, torch.tensor(labels), margin=0.25, scale=scale, adaptive=adaptive
        ),
        [torch.tensor(embeddings)],
    )
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("margin", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("scale", [1.0, 256.0, 1024.0])
@pytest.mark.parametrize(
    ("embeddings", "labels"),
    [
        pytest.param([[0.6, 0.8]] * 4, [0, 1, 0, 1], id="identical rows"),
        pytest.param([[1, 0], [-1, 0], [1, 0], [-1, 0]], [0, 1, 0, 1], id="perfect"),
        pytest.param([[1, 0], [-1, 0], [1, 0], [-1, 0]], [0, 0, 1, 1], id="all wrong"),
        pytest.param([[1, 0], [0.6, 0.8], [0, 1]], [0, 0, 1], id="one row alone"),
    ],
)
def test_extremes_in_float32(
    embeddings: list[list[float]], labels: list[int], scale: float, margin: float, adaptive: bool
) -> None:
    u = torch.tensor(embeddings).float()
    value = assert_finite(
        lambda u: instance_loss(
            u, torch.tensor(labels), margin=margin, scale=scale, adaptive=adaptive
        ),
        [u],
    )
    table = decimals(similarity_table(u.double(), u.double()))
    expected = instance_loop(
        table, labels, table, margin=Decimal(margin), scale=Decimal(scale), adaptive=adaptive
    )
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(float(expected), rel=1e-5, abs=1e-6 * scale)


def test_rows_alone_in_their_class_repel_but_do_not_count() -> None:
    u = unit_vectors(5, 3, 0)
    labels = torch.tensor([0, 0, 1, 1, 2])
    settings = {"margin": 0.1, "scale": 5.0}
    parts = [instance_loss(u, labels, anchors=slice(i, i + 1), **settings) for i in range(5)]
    assert parts[4] == 0
    assert all(part > 0 for part in parts[:4])
    # Its gradient still moves the row that is alone: it is a negative of all others.
    _, (gradient,) = value_and_gradients(lambda u: instance_loss(u, labels, **settings), [u])
    assert gradient[4].abs().sum() > 0


@pytest.mark.parametrize("adaptive", [True, False])
def test_half_precision_gives_float32(adaptive: bool) -> None:
    u, labels = unit_vectors(6, 8, 0), torch.tensor([0, 1, 2, 0, 1, 2])
    settings = {"margin": 0.1, "scale": 5.0, "adaptive": adaptive}
    loss = instance_loss(u.bfloat16(), labels, **settings)
    assert loss.dtype == torch.float32
    expected = instance_loss(u, labels, **settings)
    assert loss.item() == pytest.approx(expected.item(), rel=0.05)
    assert expected.dtype == torch.float64
