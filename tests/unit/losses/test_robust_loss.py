"""The loss against its dual: the hardest weights of rows within a ball, found by scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor

from gzsl_dist.losses.instance import HIGHEST, LOWEST, robust_loss, supcon_loss

from .problems import EXAMPLES, assert_same, partitions, unit_vectors, value_and_gradients

LABELS = torch.tensor([0, 1, 0, 2, 1, 1, 3, 0])  # classes 2 and 3 have one row each


def distances(u: Tensor, labels: list[int], margin: float) -> list[list[float]]:
    """d_ij of each row that has a positive, in plain loops."""
    s = (u @ u.T).tolist()
    rows = range(len(labels))
    found = []
    for i in rows:
        positives = [k for k in rows if k != i and labels[k] == labels[i]]
        if positives:
            own = sum(s[i][k] for k in positives) / len(positives)
            found.append(
                [s[i][j] + margin * (labels[j] != labels[i]) - own for j in rows if j != i]
            )
    return found


@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("radius", [0.2, 0.7, 1.2])
def test_is_the_smallest_over_temperatures(margin: float, radius: float) -> None:
    u = unit_vectors(8, 4, 3)
    terms = []
    for row in distances(u, LABELS.tolist(), margin):
        d = np.array(row)

        def dual(log_t: float, d: np.ndarray = d) -> float:
            t = np.exp(log_t)
            return float(t * np.log(np.mean(np.exp(d / t))) + t * radius)

        bounds = (np.log(LOWEST), np.log(HIGHEST))
        terms.append(minimize_scalar(dual, bounds=bounds, options={"xatol": 1e-10}).fun)
    loss = robust_loss(u, LABELS, margin=margin, radius=radius)
    assert loss.item() == pytest.approx(np.mean(terms), abs=1e-8)


@pytest.mark.parametrize("radius", [0.2, 0.7, 1.2])
def test_is_the_hardest_mean_within_the_ball(radius: float) -> None:
    u = unit_vectors(8, 4, 3)
    terms = []
    for row in distances(u, LABELS.tolist(), 0.3):
        d = np.array(row)
        n = len(d)

        def inside(p: np.ndarray, n: int = n) -> float:
            return float(radius - np.sum(p * np.log(n * p)))

        found = minimize(
            lambda p, d=d: -p @ d,
            np.full(n, 1 / n),
            method="SLSQP",
            bounds=[(1e-12, 1)] * n,
            constraints=[
                {"type": "ineq", "fun": inside},
                {"type": "eq", "fun": lambda p: p.sum() - 1},
            ],
            options={"maxiter": 500, "ftol": 1e-9},
        )
        assert found.success
        terms.append(-found.fun)
    loss = robust_loss(u, LABELS, margin=0.3, radius=radius)
    assert loss.item() == pytest.approx(np.mean(terms), abs=1e-5)


@pytest.mark.parametrize("radius", [0.2, 0.7, 1.2])
def test_gradient_is_the_finite_difference_of_the_minimum(radius: float) -> None:
    u = unit_vectors(8, 4, 5)
    _, (gradient,) = value_and_gradients(
        lambda u: robust_loss(u, LABELS, margin=0.1, radius=radius), [u]
    )
    direction = unit_vectors(8, 4, 77)
    step = 1e-5 * direction
    difference = (
        robust_loss(u + step, LABELS, margin=0.1, radius=radius)
        - robust_loss(u - step, LABELS, margin=0.1, radius=radius)
    ) / 2e-5
    torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-5, atol=1e-7)


def test_at_one_temperature_it_pulls_like_supcon() -> None:
    # A radius above log n asks for the lowest temperature in every row.
    u, t = unit_vectors(8, 4, 3), LOWEST
    _, (ours,) = value_and_gradients(lambda u: robust_loss(u, LABELS, margin=0.0, radius=20.0), [u])
    _, (theirs,) = value_and_gradients(lambda u: t * supcon_loss(u, LABELS, temperature=t), [u])
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


@EXAMPLES
@given(data=st.data())
def test_shares_of_the_anchors_add_up(data: st.DataObject) -> None:
    shares = data.draw(partitions(len(LABELS)))
    settings = {"margin": 0.2, "radius": 0.7}
    assert_same(
        lambda u: torch.stack(
            [robust_loss(u, LABELS, anchors=share, **settings) for share in shares]
        ).sum(),
        lambda u: robust_loss(u, LABELS, **settings),
        [unit_vectors(8, 4, 1)],
    )


@pytest.mark.parametrize(
    ("rows", "labels"),
    [([[0.6, 0.8]] * 4, [0, 1, 0, 1]), ([[1, 0], [-1, 0], [1, 0], [-1, 0]], [0, 1, 0, 1])],
)
def test_identical_and_opposite_rows_are_finite(rows: list[list[float]], labels: list[int]) -> None:
    value, (gradient,) = value_and_gradients(
        lambda u: robust_loss(u, torch.tensor(labels), margin=0.1, radius=2.0),
        [torch.tensor(rows, dtype=torch.float32)],
    )
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert gradient.isfinite().all()


def test_is_0_without_positives() -> None:
    value, (gradient,) = value_and_gradients(
        lambda u: robust_loss(u, torch.tensor([0, 1, 2]), margin=0.1, radius=1.0),
        [unit_vectors(3, 2, 0)],
    )
    assert value == 0
    assert (gradient == 0).all()
