from __future__ import annotations

import math
from decimal import Decimal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SupConLoss
from torch.nn.functional import normalize

from gzsl_dist.losses.instance import supcon_loss

from .loops import decimals, similarity_table, supcon_loop
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


@EXAMPLES
@given(problem=problems(), temperature=st.sampled_from([0.1, 0.5, 2.0]))
def test_equals_plain_loops(problem: Problem, temperature: float) -> None:
    assert_same(
        lambda u: supcon_loss(u, problem.labels, temperature=temperature),
        lambda u: supcon_loop(similarity_table(u, u), problem.labels.tolist(), temperature),
        [problem.embeddings],
    )


@EXAMPLES
@given(seed=st.integers(0, 1000), temperature=st.sampled_from([0.07, 0.1, 1.0]))
def test_equals_pytorch_metric_learning(seed: int, temperature: float) -> None:
    labels = torch.tensor([0, 1, 0, 2, 1, 1, 3, 0])  # classes 2 and 3 have no pair
    # Its default reducer takes the mean of terms above 0: those of rows with a positive.
    oracle = SupConLoss(temperature=temperature)
    assert_same(
        lambda u: supcon_loss(normalize(u), labels, temperature=temperature),
        lambda u: oracle(u, labels),
        [3 * unit_vectors(8, 4, seed)],  # the oracle normalizes
    )


@pytest.mark.parametrize("seed", range(3))
def test_gradcheck(seed: int) -> None:
    labels = torch.tensor([0, 1, 1, 0, 2])
    assert torch.autograd.gradcheck(
        lambda u: supcon_loss(u, labels, temperature=0.3), with_gradient(unit_vectors(5, 3, seed))
    )


@EXAMPLES
@given(problem=problems(), data=st.data())
def test_order_of_rows_and_names_of_classes_do_not_matter(
    problem: Problem, data: st.DataObject
) -> None:
    rows = torch.tensor(data.draw(st.permutations(range(len(problem.labels)))))
    assert_same(
        lambda u: supcon_loss(u[rows], 7 - problem.labels[rows], temperature=0.1),
        lambda u: supcon_loss(u, problem.labels, temperature=0.1),
        [problem.embeddings],
    )


@EXAMPLES
@given(problem=problems(), data=st.data())
def test_shares_of_the_anchors_add_up(problem: Problem, data: st.DataObject) -> None:
    shares = data.draw(partitions(len(problem.labels)))
    assert_same(
        lambda u: torch.stack(
            [supcon_loss(u, problem.labels, temperature=0.1, anchors=share) for share in shares]
        ).sum(),
        lambda u: supcon_loss(u, problem.labels, temperature=0.1),
        [problem.embeddings],
    )


@pytest.mark.parametrize(
    ("embeddings", "labels"),
    [
        pytest.param([[1, 0], [0, 1], [0.6, 0.8]], [0, 1, 2], id="no positives"),
        pytest.param([[0.6, 0.8]], [1], id="batch of 1"),
    ],
)
def test_is_0_without_positives(embeddings: list[list[float]], labels: list[int]) -> None:
    value, (gradient,) = value_and_gradients(
        lambda u: supcon_loss(u, torch.tensor(labels), temperature=0.1), [torch.tensor(embeddings)]
    )
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("temperature", [0.1, 1 / 256, 1 / 1024])
@pytest.mark.parametrize(
    ("embeddings", "labels"),
    [
        pytest.param([[1, 0], [0, 1], [0.6, 0.8]], [2, 2, 2], id="one class"),
        pytest.param([[0.6, 0.8]] * 4, [0, 1, 0, 1], id="identical rows"),
        pytest.param([[1, 0], [-1, 0], [1, 0], [-1, 0]], [0, 1, 0, 1], id="perfect"),
        pytest.param([[1, 0], [-1, 0], [1, 0], [-1, 0]], [0, 0, 1, 1], id="all wrong"),
        pytest.param([[1, 0], [1, 0]], [0, 0], id="one pair"),
    ],
)
def test_extremes_in_float32(
    embeddings: list[list[float]], labels: list[int], temperature: float
) -> None:
    u = torch.tensor(embeddings).float()
    value = assert_finite(
        lambda u: supcon_loss(u, torch.tensor(labels), temperature=temperature), [u]
    )
    table = decimals(similarity_table(u.double(), u.double()))
    expected = supcon_loop(table, labels, Decimal(temperature))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(float(expected), rel=1e-5, abs=1e-6 / temperature)


def test_identical_rows_give_the_logarithm_of_the_others() -> None:
    u = unit_vectors(1, 3, 0).expand(5, 3)
    loss = supcon_loss(u, torch.tensor([0, 0, 1, 1, 1]), temperature=0.1)
    assert loss.item() == pytest.approx(math.log(4))


def test_half_precision_gives_float32() -> None:
    u, labels = unit_vectors(6, 8, 0), torch.tensor([0, 1, 2, 0, 1, 2])
    loss = supcon_loss(u.bfloat16(), labels, temperature=0.1)
    assert loss.dtype == torch.float32
    expected = supcon_loss(u, labels, temperature=0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=0.05)
    assert expected.dtype == torch.float64
