from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import CosFaceLoss
from torch.nn.functional import normalize

from gzsl_dist.losses.prototype import margin_softmax_loss

from .loops import margin_softmax_loop, similarity_table
from .problems import EXAMPLES, Problem, assert_finite, assert_same, partitions, problems


@EXAMPLES
@given(problem=problems())
def test_equals_plain_loops(problem: Problem) -> None:
    assert_same(
        lambda u, p: margin_softmax_loss(
            u, problem.labels, p, margin=problem.margin, scale=problem.scale, total=len(u)
        ),
        lambda u, p: margin_softmax_loop(
            similarity_table(u, p),
            problem.labels.tolist(),
            margin=problem.margin,
            scale=problem.scale,
        ),
        [problem.embeddings, problem.prototypes],
    )


@EXAMPLES
@given(problem=problems())
def test_is_cosface(problem: Problem) -> None:
    classes, dim = problem.prototypes.shape
    oracle = CosFaceLoss(classes, dim, margin=problem.margin, scale=problem.scale).double()
    oracle.W.data = problem.prototypes.T
    assert_same(
        lambda u: margin_softmax_loss(
            normalize(u),
            problem.labels,
            problem.prototypes,
            margin=problem.margin,
            scale=problem.scale,
            total=len(u),
        ),
        lambda u: oracle(u, problem.labels),
        [3 * problem.embeddings],  # the oracle normalizes
    )


@EXAMPLES
@given(problem=problems(), data=st.data())
def test_shares_of_the_rows_add_up(problem: Problem, data: st.DataObject) -> None:
    rows = len(problem.labels)
    shares = data.draw(partitions(rows))
    settings = {"margin": problem.margin, "scale": problem.scale, "total": rows}
    assert_same(
        lambda u, p: torch.stack(
            [margin_softmax_loss(u[s], problem.labels[s], p, **settings) for s in shares]
        ).sum(),
        lambda u, p: margin_softmax_loss(u, problem.labels, p, **settings),
        [problem.embeddings, problem.prototypes],
    )


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_extremes_in_float32(scale: float) -> None:
    for rows in ([[1.0, 0.0], [-1.0, 0.0]], [[-1.0, 0.0], [1.0, 0.0]]):
        assert_finite(
            lambda u, p: margin_softmax_loss(
                u, torch.tensor([0, 1]), p, margin=1.0, scale=scale, total=2
            ),
            [torch.tensor(rows), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])],
        )
