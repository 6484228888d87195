from __future__ import annotations

from decimal import Decimal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import ProxyAnchorLoss
from torch import Tensor
from torch.nn.functional import normalize

from gzsl_dist.losses.prototype import prototype_loss

from .loops import decimals, numbers, prototype_loop, similarity_table
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


def loop(problem: Problem, u: Tensor, p: Tensor, at: list[list[float]] | None = None) -> Tensor:
    table = similarity_table(u, p)
    at = numbers(table) if at is None else at
    return prototype_loop(table, problem.labels.tolist(), at, **problem.settings)


@EXAMPLES
@given(problem=problems())
def test_equals_plain_loops(problem: Problem) -> None:
    assert_same(
        lambda u, p: prototype_loss(u, problem.labels, p, **problem.settings),
        lambda u, p: loop(problem, u, p),
        [problem.embeddings, problem.prototypes],
    )


def test_a_case_by_hand() -> None:
    # Rows (1, 0) and (0.6, 0.8) of class 0, prototypes (1, 0) and (0, 1), fixed, m = 0.5, g = 1.
    loss = prototype_loss(
        torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64),
        torch.tensor([0, 0]),
        torch.eye(2, dtype=torch.float64),
        margin=0.5,
        scale=1.0,
        adaptive=False,
    )
    pulled = torch.tensor(1 + 2.718281828459045**-0.5 + 2.718281828459045**-0.1).log()
    pushed = torch.tensor(1 + 2.718281828459045**0.5 + 2.718281828459045**1.3).log()
    assert loss.item() == pytest.approx((pulled + pushed / 2).item(), rel=1e-6)


@EXAMPLES
@given(problem=problems(), alpha=st.sampled_from([1.0, 32.0]))
def test_fixed_weights_are_proxy_anchor(problem: Problem, alpha: float) -> None:
    oracle = ProxyAnchorLoss(*problem.prototypes.shape, margin=problem.margin, alpha=alpha)
    lengths = torch.arange(1, len(problem.prototypes) + 1)[:, None]  # proxies are not normalized
    oracle.proxies.data = problem.prototypes * lengths
    u, p = with_gradient(3 * problem.embeddings), with_gradient(oracle.proxies)
    actual = prototype_loss(
        normalize(u),
        problem.labels,
        normalize(p),
        margin=problem.margin,
        scale=alpha,
        adaptive=False,
    )
    raw = with_gradient(u)
    expected = oracle(raw, problem.labels)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(actual, [u, p]), torch.autograd.grad(expected, [raw, oracle.proxies])
    )


@pytest.mark.parametrize("seed", range(3))
def test_gradcheck_with_fixed_weights(seed: int) -> None:
    u, p = with_gradient(unit_vectors(5, 3, seed)), with_gradient(unit_vectors(4, 3, seed + 10))
    labels = torch.tensor([0, 1, 1, 0, 2])
    assert torch.autograd.gradcheck(
        lambda u, p: prototype_loss(u, labels, p, margin=0.2, scale=3.0, adaptive=False), (u, p)
    )


@EXAMPLES
@given(problem=problems())
def test_gradient_is_the_finite_difference_with_frozen_weights(problem: Problem) -> None:
    u, p = problem.embeddings, problem.prototypes
    at = numbers(similarity_table(u, p))
    _, (gradient, _) = value_and_gradients(
        lambda u, p: prototype_loss(u, problem.labels, p, **problem.settings), [u, p]
    )
    direction = unit_vectors(*u.shape, seed=77)
    step = 1e-6 * direction
    difference = loop(problem, u + step, p, at) - loop(problem, u - step, p, at)
    expected = torch.as_tensor(difference, dtype=torch.float64) / 2e-6
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-6, atol=1e-7)


@EXAMPLES
@given(problem=problems(), data=st.data())
def test_order_of_rows_and_of_classes_does_not_matter(
    problem: Problem, data: st.DataObject
) -> None:
    rows = torch.tensor(data.draw(st.permutations(range(len(problem.labels)))))
    classes = torch.tensor(data.draw(st.permutations(range(len(problem.prototypes)))))
    new_name = torch.argsort(classes)  # class c moves to the place new_name[c]
    assert_same(
        lambda u, p: prototype_loss(
            u[rows], new_name[problem.labels][rows], p[classes], **problem.settings
        ),
        lambda u, p: prototype_loss(u, problem.labels, p, **problem.settings),
        [problem.embeddings, problem.prototypes],
    )


@EXAMPLES
@given(problem=problems(), data=st.data())
def test_shares_of_the_classes_add_up(problem: Problem, data: st.DataObject) -> None:
    count = len(problem.prototypes)
    shares = data.draw(partitions(count))
    assert_same(
        lambda u, p: torch.stack(
            [
                prototype_loss(
                    u,
                    problem.labels,
                    p[share],
                    classes=share,
                    class_count=count,
                    **problem.settings,
                )
                for share in shares
            ]
        ).sum(),
        lambda u, p: prototype_loss(u, problem.labels, p, **problem.settings),
        [problem.embeddings, problem.prototypes],
    )


def test_more_shares_than_classes() -> None:
    problem = Problem(unit_vectors(4, 3, 0), torch.tensor([0, 1, 1, 0]), unit_vectors(2, 3, 1),
                      0.1, 10.0, True)  # fmt: skip
    u, p = problem.embeddings, problem.prototypes
    parts = [
        prototype_loss(u, problem.labels, p[s], classes=s, class_count=2, **problem.settings)
        for s in [slice(0, 1), slice(1, 2), slice(2, 2), slice(2, 2)]
    ]
    assert parts[2] == 0
    assert parts[3] == 0
    whole = prototype_loss(u, problem.labels, p, **problem.settings)
    torch.testing.assert_close(sum(parts), whole)


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("margin", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("scale", [1.0, 256.0, 1024.0])
@pytest.mark.parametrize(
    ("embeddings", "labels", "prototypes"),
    [
        pytest.param([[1, 0], [0, 1], [0.6, 0.8]], [0, 0, 0], [[1, 0]], id="one class"),
        pytest.param([[0.6, 0.8]], [1], [[1, 0], [0, 1], [-1, 0]], id="batch of 1"),
        pytest.param([[0.6, 0.8]] * 4, [0, 1, 0, 1], [[1, 0], [0, 1]], id="identical rows"),
        pytest.param([[1, 0], [-1, 0]], [0, 1], [[1, 0], [-1, 0]], id="perfect"),
        pytest.param([[1, 0], [-1, 0]], [1, 0], [[1, 0], [-1, 0]], id="all wrong"),
        pytest.param(
            [[1, 0], [-1, 0]], [0, 0], [[1, 0], [0, 1], [1, 0]], id="classes without rows"
        ),
    ],
)
def test_extremes_in_float32(
    embeddings: list[list[float]],
    labels: list[int],
    prototypes: list[list[float]],
    scale: float,
    margin: float,
    adaptive: bool,
) -> None:
    u, p = torch.tensor(embeddings).float(), torch.tensor(prototypes).float()
    value = assert_finite(
        lambda u, p: prototype_loss(
            u, torch.tensor(labels), p, margin=margin, scale=scale, adaptive=adaptive
        ),
        [u, p],
    )
    table = decimals(similarity_table(u.double(), p.double()))
    expected = prototype_loop(
        table, labels, table, margin=Decimal(margin), scale=Decimal(scale), adaptive=adaptive
    )
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(float(expected), rel=1e-5, abs=1e-6 * scale)


@pytest.mark.parametrize("adaptive", [True, False])
def test_half_precision_gives_float32(adaptive: bool) -> None:
    u, p = unit_vectors(6, 8, 0), unit_vectors(3, 8, 1)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    settings = {"margin": 0.1, "scale": 10.0, "adaptive": adaptive}
    loss = prototype_loss(u.bfloat16(), labels, p.bfloat16(), **settings)
    assert loss.dtype == torch.float32
    expected = prototype_loss(u, labels, p, **settings)
    assert loss.item() == pytest.approx(expected.item(), rel=0.02)
    assert expected.dtype == torch.float64


def test_a_larger_margin_is_stricter_when_fixed_and_laxer_when_adaptive() -> None:
    u, labels = unit_vectors(6, 3, 0), torch.tensor([0, 1, 2, 0, 1, 2])
    p = unit_vectors(3, 3, 1)
    loose = prototype_loss(u, labels, p, margin=0.0, scale=5.0, adaptive=False)
    tight = prototype_loss(u, labels, p, margin=0.3, scale=5.0, adaptive=False)
    assert tight > loose
    # Adaptive: the optimum is D+ = 1 - m, so a larger margin asks for less.
    near = normalize(p[labels] + 0.05 * u)
    strict = prototype_loss(near, labels, p, margin=0.05, scale=64.0)
    relaxed = prototype_loss(near, labels, p, margin=0.4, scale=64.0)
    assert relaxed < strict
