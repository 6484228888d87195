"""A layer's part for the class, computed once for each class instead of each row."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def for_rows(layer: Callable[[Tensor], Tensor], semantics: Tensor, labels: Tensor | None) -> Tensor:
    """``layer(semantics[labels])``, ``(rows, width)``, by class or by row, whichever are fewer.

    The layer maps each row of the semantics, ``(classes, d_a)``, by itself; ``(rows,)`` labels say
    the class of each row. Without labels, the semantics are ``(rows, d_a)``.
    """
    if labels is None:
        return layer(semantics)
    if len(semantics) < len(labels):
        return layer(semantics).index_select(0, labels)
    return layer(semantics[labels])
