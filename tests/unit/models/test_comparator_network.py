from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gzsl_dist.models import comparator as module
from gzsl_dist.models.comparator import Comparator

from .comparing import assert_gradients_match, concatenated_mlp, gradients, normal, randomized

EXAMPLES = settings(deadline=None, max_examples=20, derandomize=True)


def problem(rows: int, classes: int, seed: int = 0) -> tuple[Comparator, Tensor, Tensor]:
    comparator = randomized(Comparator(3, 2, 5), seed)
    return comparator, normal(rows, 3, seed=seed), normal(classes, 2, seed=seed + 1)


def plain_mlp(comparator: Comparator) -> nn.Sequential:
    return concatenated_mlp(
        (comparator.hidden_embedding, comparator.hidden_semantic), comparator.output
    )


def pairwise_scores(mlp: nn.Module, h: Tensor, a: Tensor) -> Tensor:
    return torch.stack([torch.stack([mlp(torch.cat([row, c]))[0] for c in a]) for row in h])


@EXAMPLES
@given(rows=st.integers(1, 5), classes=st.integers(1, 4), seed=st.integers(0, 100))
def test_is_the_mlp_on_all_concatenated_pairs(rows: int, classes: int, seed: int) -> None:
    comparator, h, a = problem(rows, classes, seed)
    mlp = plain_mlp(comparator)
    h.requires_grad_()
    scores, expected = comparator(h, a), pairwise_scores(mlp, h, a)
    assert scores.shape == (rows, classes)
    torch.testing.assert_close(scores, expected)

    weights = normal(rows, classes, seed=9)
    loss, expected_loss = (scores * weights).sum(), (expected * weights).sum()
    assert_gradients_match(
        gradients(loss, comparator), gradients(expected_loss, mlp), "hidden_embedding"
    )
    torch.testing.assert_close(torch.autograd.grad(loss, h), torch.autograd.grad(expected_loss, h))


@pytest.mark.parametrize("rows_at_a_time", [1, 2, 3, 6])
def test_chunks_change_nothing_and_bound_the_block(
    rows_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparator, h, a = problem(7, 4)
    h.requires_grad_()
    weights = normal(7, 4, seed=9)
    limit = rows_at_a_time * 4 * 5  # rows x classes x hidden

    whole = comparator(h, a)
    expected = torch.autograd.grad((whole * weights).sum(), [h, *comparator.parameters()])

    blocks = []
    pair_scores = module.pair_scores

    def recorded(rows: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
        blocks.append(len(rows) * classes.numel())
        return pair_scores(rows, classes, weight)

    monkeypatch.setattr(module, "CHUNK_VALUES", limit)
    monkeypatch.setattr(module, "pair_scores", recorded)
    chunked = comparator(h, a)
    assert len(blocks) == -(-7 // rows_at_a_time)
    assert max(blocks) <= limit
    torch.testing.assert_close(chunked, whole)
    actual = torch.autograd.grad((chunked * weights).sum(), [h, *comparator.parameters()])
    torch.testing.assert_close(actual, expected)


def test_a_block_within_the_limit_is_not_recomputed(monkeypatch: pytest.MonkeyPatch) -> None:
    comparator, h, a = problem(7, 4)
    monkeypatch.setattr(module, "CHUNK_VALUES", 7 * 4 * 5)
    monkeypatch.setattr(module, "checkpoint", None)
    assert comparator(h, a).shape == (7, 4)


def test_a_limit_below_one_row_goes_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    comparator, h, a = problem(3, 4)
    whole = comparator(h, a)
    monkeypatch.setattr(module, "CHUNK_VALUES", 1)
    torch.testing.assert_close(comparator(h, a), whole)


def test_rows_and_classes_are_scored_independently() -> None:
    comparator, h, a = problem(5, 4)
    rows, classes = torch.tensor([4, 2, 0]), torch.tensor([3, 1])
    torch.testing.assert_close(comparator(h[rows], a[classes]), comparator(h, a)[rows][:, classes])
    assert comparator(h[:0], a).shape == (0, 4)
