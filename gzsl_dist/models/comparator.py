"""Comparator F of CE-GZSL: how well does a row match the semantics of each class?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gzsl_dist.models.initialize import WEIGHT_DEVIATION, initialize
from gzsl_dist.models.precision import at_least_float32

SLOPE = 0.2
BLOCK = 2**19  # values of pairs at a time: two MiB, which a CPU's cache holds
GPU_BYTES = 2**29  # of pairs at a time where they are made on a GPU


class Comparator(nn.Module):
    """F: [h; a] -> hidden, LeakyReLU 0.2 -> 1 (Han et al., CVPR 2021), for all classes at once.

    The first layer splits exactly into ``W_h h + W_a a_c``: both are computed once, and the pairs
    of a row and a class never meet in a matrix product, nor as a block of ``rows x classes x
    hidden`` values (`pair_scores`). CE-GZSL's `hidden_dim` is 2048.
    """

    def __init__(self, embedding_dim: int, semantic_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden_embedding = nn.Linear(embedding_dim, hidden_dim)
        self.hidden_semantic = nn.Linear(semantic_dim, hidden_dim, bias=False)
        # The second layer is a vector of this module's own, so that ZeRO 3 gathers it;
        # it has no bias, as the softmax over classes takes any constant out.
        self.output = nn.Parameter(nn.Linear(hidden_dim, 1, bias=False).weight.detach()[0])
        initialize(self)
        nn.init.normal_(self.output, 0.0, WEIGHT_DEVIATION)

    def forward(self, embeddings: Tensor, semantics: Tensor, own: Tensor | None = None) -> Tensor:
        """Scores, ``(rows, classes)``, of ``(rows, embedding_dim)`` and ``(classes, d_a)``.

        With `own`, ``(rows, d_a)`` of each row's class, a column of their scores comes first.
        """
        rows = at_least_float32(self.hidden_embedding(embeddings))
        classes = at_least_float32(self.hidden_semantic(semantics))
        with torch.autocast(rows.device.type, enabled=False):
            scores = pair_scores(rows, classes, self.output)
        if own is None:
            return scores
        matching = at_least_float32(self.hidden_semantic(own))
        with torch.autocast(rows.device.type, enabled=False):
            of_own = leaky_relu(rows + matching, SLOPE) @ self.output
        return torch.cat([of_own[:, None], scores], dim=1)


def pair_scores(rows: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
    """``(rows, classes)`` of ``w . LeakyReLU(r_i + c_j)``, all of width ``hidden``.

    As ``LeakyReLU(t) = slope t + (1 - slope) ReLU(t)``, one part is linear and needs no pairs.
    The other needs one pass over them, as ``ReLU(r + c) = max(c, -r) + r``.
    """
    ramps = _Ramps.apply if rows.device.type == "cpu" else ramps_by_distance
    linear = (rows @ weight)[:, None] + classes @ weight
    scores: Tensor = SLOPE * linear + (1 - SLOPE) * ramps(rows, classes, weight)
    return scores


def ramps_by_distance(rows: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
    """``(rows, classes)`` of ``w . ReLU(r_i + c_j)``, by kernels of the size that GPUs need.

    ``ReLU(t) = (t + |t|) / 2``, and ``sum_k w_k |r_ik + c_jk|`` is an L1 distance between rows and
    negated classes, each scaled by ``|w_k|``; one for positive weights, one for negative ones. The
    backward pass is its own: that of `torch.cdist` on CUDA makes a block of ``rows x classes x
    hidden`` values.
    """
    ramps: Tensor = _RampsByDistance.apply(rows, classes, weight)  # type: ignore[no-untyped-call]
    return ramps


class _RampsByDistance(torch.autograd.Function):
    """Forward by `torch.cdist`, backward in blocks of pairs of `GPU_BYTES` at most."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(rows, classes, weight)
        doubled = (rows @ weight)[:, None] + classes @ weight
        for sign in (1, -1):
            part = sign * weight > 0
            scale = sign * weight[part]
            distance = torch.cdist(rows[:, part] * scale, -classes[:, part] * scale, 1)
            doubled += sign * distance
        return doubled / 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        rows, classes, weight = ctx.saved_tensors
        both = any(ctx.needs_input_grad[1:])  # the generator's step trains no comparator
        of_rows, of_classes = torch.zeros_like(rows), torch.zeros_like(classes)
        for some_rows, some_classes in pair_blocks(rows, classes):
            # a number for each pair and hidden unit: the slope of ReLU
            slopes = (rows[some_rows, None] > -classes[None, some_classes]).to(rows.dtype)
            weights = gradients[0][some_rows, some_classes]
            of_rows[some_rows] += (weights[:, None] @ slopes)[:, 0]
            if both:
                by_class = weights.T[:, None] @ slopes.transpose(0, 1)
                of_classes[some_classes] += by_class[:, 0]
        if not both:
            return of_rows * weight, None, None
        of_weight = (of_rows * rows).sum(0) + (of_classes * classes).sum(0)
        return of_rows * weight, of_classes * weight, of_weight


def pair_blocks(rows: Tensor, classes: Tensor) -> Iterator[tuple[slice, slice]]:
    """Blocks of rows and classes whose pairs, with all hidden units, take `GPU_BYTES` at most.

    A block of slopes exists twice for a moment, as truth values and as numbers, and once more
    where a product needs it in another order.
    """
    pair_bytes = max(1, rows.shape[1]) * 3 * rows.element_size()
    pairs = max(1, GPU_BYTES // pair_bytes)
    class_count = max(1, min(len(classes), pairs))
    row_count = max(1, pairs // class_count)
    for first_row in range(0, len(rows), row_count):
        for first_class in range(0, len(classes), class_count):
            yield (
                slice(first_row, first_row + row_count),
                slice(first_class, first_class + class_count),
            )


class _Ramps(torch.autograd.Function):
    """`ramps_by_distance` in blocks that a CPU's cache holds: a row and many classes at a time."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(rows, classes, weight)
        ramps: Tensor = (rows @ weight)[:, None] + sums_of_maxima(rows, classes, weight)
        return ramps

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        rows, classes, weight = ctx.saved_tensors
        # ReLU has slope 1 where r + c > 0, that is c > -r, or r > -c.
        of_rows = weighted_slopes(rows, classes, gradients[0])
        if not any(ctx.needs_input_grad[1:]):  # the generator's step trains no comparator
            return of_rows * weight, None, None
        of_classes = weighted_slopes(classes, rows, gradients[0].T)
        of_weight = (of_rows * rows).sum(0) + (of_classes * classes).sum(0)
        return of_rows * weight, of_classes * weight, of_weight


# Operations by name, so that whoever traces a step (`gzsl_dist.planning`, torch.compile) meets one
# operation and not a loop over rows.
@torch.library.custom_op(
    "gzsl_dist::sums_of_maxima",
    mutates_args=(),
    schema="(Tensor rows, Tensor classes, Tensor weight) -> Tensor",
)
def sums_of_maxima(rows: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
    """``(rows, classes)`` of ``sum_k w_k max(c_jk, -r_ik)``."""
    sums = rows.new_empty(len(rows), len(classes))
    negated = -rows
    for part in _blocks(classes):
        block = torch.empty_like(classes[part])
        for row, result in zip(negated, sums[:, part], strict=True):
            torch.mv(torch.maximum(classes[part], row, out=block), weight, out=result)
    return sums


@torch.library.custom_op(
    "gzsl_dist::weighted_slopes",
    mutates_args=(),
    schema="(Tensor rows, Tensor classes, Tensor weights) -> Tensor",
)
def weighted_slopes(rows: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """``(rows, hidden)`` of ``sum_j g_ij [r_ik + c_jk > 0]``, for ``(rows, classes)`` weights g."""
    sums = torch.zeros_like(rows)
    negated = -rows
    for part in _blocks(classes):
        block = torch.empty_like(classes[part])
        some = weights[:, part].contiguous()
        for row, result, of_row in zip(negated, sums, some, strict=True):
            result.addmv_(torch.gt(classes[part], row, out=block).T, of_row)
    return sums


@sums_of_maxima.register_fake
def _(rows: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
    return rows.new_empty(len(rows), len(classes))


@weighted_slopes.register_fake
def _(rows: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    return torch.empty_like(rows)


def _blocks(values: Tensor) -> list[slice]:
    """Slices of the rows of a matrix, each of about BLOCK values."""
    count = max(1, BLOCK // max(1, values.shape[1]))
    return [slice(first, first + count) for first in range(0, len(values), count)]
