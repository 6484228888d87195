"""Losses of large blocks of similarities, a chunk of a block at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gzsl_dist.models.precision import at_least_float32

Loss = Callable[..., Tensor]
"""The loss of a slice of anchors, rows or classes, given the tensors that it has gradients of."""

CHUNK = 2**20  # similarities: 4 MiB, of which a loss makes ten; a CPU's cache holds them


def in_chunks(loss: Loss, share: slice, width: int, *inputs: Tensor) -> Tensor:
    """``loss(share, *inputs)``, where need be as a sum of parts of which one is in memory.

    The gradient of each part is taken right after its value, so nothing is computed twice, and a
    part's similarities stay in the cache.

    Args:
        loss: of a slice of anchors, rows or classes; the losses of slices that partition `share`
            add up.
        share: of this process.
        width: similarities of each of its anchors, rows or classes.
        inputs: all that `loss` has a gradient of; what it takes from elsewhere gets none.
    """
    size = share.stop - share.start
    count = min(size, -(-size * width // CHUNK))
    if count <= 1 or not torch.is_grad_enabled():
        return loss(share, *inputs)
    bounds = [share.start + size * n // count for n in range(count + 1)]
    chunks = [slice(first, last) for first, last in itertools.pairwise(bounds)]
    result: Tensor = _InChunks.apply(loss, chunks, *inputs)  # type: ignore[no-untyped-call]
    return result


class _InChunks(torch.autograd.Function):
    """Sum of the losses of chunks, its gradients ready when the value is."""

    @staticmethod
    def forward(ctx: Any, loss: Loss, chunks: list[slice], *inputs: Tensor) -> Tensor:
        leaves = [
            tensor.detach().requires_grad_(needed)
            for tensor, needed in zip(inputs, ctx.needs_input_grad[2:], strict=True)
        ]
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        sums = [torch.zeros_like(at_least_float32(leaf), requires_grad=False) for leaf in wanted]
        values = []
        # A chunk's graph ends with the chunk: no concern of whoever watches what autograd keeps.
        own_graph = torch.autograd.graph.saved_tensors_hooks(lambda kept: kept, lambda kept: kept)
        for chunk in chunks:
            with torch.enable_grad(), own_graph:
                value = loss(chunk, *leaves)
            values.append(value.detach())
            if wanted:
                for total, part in zip(sums, torch.autograd.grad(value, wanted), strict=True):
                    total += part
        ctx.save_for_backward(
            *(total.to(leaf.dtype) for total, leaf in zip(sums, wanted, strict=True))
        )
        return torch.stack(values).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        ready = iter(ctx.saved_tensors)
        return tuple(gradients[0] * next(ready) if need else None for need in ctx.needs_input_grad)
