"""Collectives: gathering rows with gradient, and sums without."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# torch 2.13 renamed both; older ones have the former names only.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


class _GatherRows(torch.autograd.Function):
    """all_gather forward, reduce_scatter (sum) backward, for shares that may differ in size."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        return gather_rows(rows, sizes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        sizes, largest = ctx.sizes, max(ctx.sizes)
        (gradient,) = gradients
        padded = [
            torch.nn.functional.pad(part, (0, 0, 0, largest - len(part)))
            for part in torch.split(gradient, sizes)
        ]
        own = torch.empty_like(padded[0])
        reduce_scatter(own, torch.cat(padded))
        return own[: sizes[dist.get_rank()]], None


def gather_rows(rows: Tensor, sizes: list[int]) -> Tensor:
    """All processes' ``(sizes[rank], ...)`` rows in rank order, ``(sum(sizes), ...)``, detached."""
    largest = max(sizes)
    padded = rows.new_zeros(largest, *rows.shape[1:])
    padded[: len(rows)] = rows
    gathered = rows.new_empty(largest * len(sizes), *rows.shape[1:])
    _all_gather(gathered, padded)
    parts = zip(torch.split(gathered, largest), sizes, strict=True)
    return torch.cat([part[:size] for part, size in parts])


def gather_rows_with_gradient(rows: Tensor, sizes: list[int]) -> Tensor:
    """`gather_rows` of ``(rows, d)``, differentiable.

    The gradient of a process's rows is the *sum* over all processes of their losses' gradients,
    so the processes' losses must be parts that add up to the loss, not copies of it.
    """
    result: Tensor = _GatherRows.apply(rows, sizes)  # type: ignore[no-untyped-call]
    return result
