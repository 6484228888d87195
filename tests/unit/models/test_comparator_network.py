from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

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


def test_no_block_of_all_pairs_is_kept_for_the_backward_pass() -> None:
    comparator = Comparator(3, 2, 50)
    sizes = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        comparator(torch.randn(40, 3), torch.randn(30, 2)).sum()
    assert max(sizes) <= 40 * 50  # rows x hidden, not rows x classes x hidden


@pytest.mark.parametrize("sign", [1, -1])
def test_weights_of_one_sign(sign: int) -> None:
    comparator, h, a = problem(4, 3)
    with torch.no_grad():
        comparator.output.abs_().mul_(sign)
    torch.testing.assert_close(comparator(h, a), pairwise_scores(plain_mlp(comparator), h, a))


def test_rows_and_classes_are_scored_independently() -> None:
    comparator, h, a = problem(5, 4)
    rows, classes = torch.tensor([4, 2, 0]), torch.tensor([3, 1])
    torch.testing.assert_close(comparator(h[rows], a[classes]), comparator(h, a)[rows][:, classes])
    assert comparator(h[:0], a).shape == (0, 4)
