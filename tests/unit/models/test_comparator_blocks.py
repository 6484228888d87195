"""The comparator's form for GPUs: the same gradients, in blocks whose memory is bounded."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gzsl_dist.models import comparator
from gzsl_dist.models.comparator import pair_blocks, ramps_by_distance

from .comparing import normal


def inputs(rows: int, classes: int, hidden: int) -> list[Tensor]:
    sizes = ((rows, hidden), (classes, hidden), (hidden,))
    return [normal(*size, seed=seed).requires_grad_() for seed, size in enumerate(sizes)]


def plain(rows: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
    return torch.relu(rows[:, None] + classes[None]) @ weight


class Largest(TorchDispatchMode):
    """Bytes of the largest result."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.bytes = max(self.bytes, result.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("budget", [1, 24 * 6, 24 * 6 * 5, 24 * 6 * 11, 2**29])
def test_gradients_are_those_of_all_pairs(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparator, "GPU_BYTES", budget)
    values, weights = inputs(7, 5, 6), normal(7, 5, seed=9)
    found, expected = ramps_by_distance(*values), plain(*values)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), values),
        torch.autograd.grad((expected * weights).sum(), values),
    )


def test_gradients_of_rows_alone() -> None:
    rows, classes, weight = (value.detach() for value in inputs(7, 5, 6))
    rows.requires_grad_()
    torch.testing.assert_close(
        torch.autograd.grad(ramps_by_distance(rows, classes, weight).square().sum(), rows),
        torch.autograd.grad(plain(rows, classes, weight).square().sum(), rows),
    )


def test_blocks_cover_every_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparator, "GPU_BYTES", 24 * 6 * 3)
    rows, classes, _ = inputs(4, 7, 6)
    seen = torch.zeros(4, 7)
    for some_rows, some_classes in pair_blocks(rows, classes):
        seen[some_rows, some_classes] += 1
    assert (seen == 1).all()


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    values = inputs(40, 50, 64)
    monkeypatch.setattr(comparator, "GPU_BYTES", 200_000)  # of 40 x 50 x 64 x 8 = 1,024,000
    with Largest() as largest:
        ramps_by_distance(*values).sum().backward()
    assert largest.bytes <= 200_000
