"""Micro-batches: a loss over the whole batch without the whole batch's activations.

GradCache (Gao et al., RepL4NLP 2021) computes representations without a graph, the loss over all
of them, and then replays each micro-batch's forward pass with the gradient of its representations.
Activation checkpointing of each micro-batch does just that inside one graph: one forward and one
backward, so the hooks of DDP and ZeRO fire once, and the backward pass replays micro-batch after
micro-batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

RowLosses = dict[str, Tensor]
Rows = Callable[..., tuple[RowLosses, Tensor | None]]
"""A function of rows: their losses, each a sum over rows, and their representations or None."""


def in_micro_batches(rows: Rows, *inputs: Tensor, count: int) -> tuple[RowLosses, Tensor | None]:
    """``rows(*inputs)``, computed in `count` micro-batches that the backward pass replays.

    Args:
        rows: losses and ``(rows, d)`` representations of its inputs.
        inputs: tensors with the same number of rows.
        count: number of micro-batches, 1 for none. All processes must pass the same, since
            ZeRO 3 gathers weights in every one; some may be empty.
    """
    if count == 1:
        return rows(*inputs)
    # No check that shapes repeat: ZeRO 3 leaves an empty weight behind after each forward pass.
    pieces = [
        checkpoint(
            rows, *piece, use_reentrant=False, preserve_rng_state=False, determinism_check="none"
        )
        for piece in zip(*(torch.tensor_split(part, count) for part in inputs), strict=True)
    ]
    losses = {
        name: torch.stack([piece[0][name] for piece in pieces]).sum() for name in pieces[0][0]
    }
    if pieces[0][1] is None:
        return losses, None
    return losses, torch.cat([piece[1] for piece in pieces])


def micro_batch_count(largest_share: int, micro_batch_size: int | None) -> int:
    """How many micro-batches hold the rows of the process that has the most."""
    return 1 if micro_batch_size is None else -(-largest_share // micro_batch_size)
