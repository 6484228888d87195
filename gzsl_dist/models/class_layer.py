"""A layer's part for the class, computed once for each class instead of each row."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def for_rows(layer: Callable[[Tensor], Tensor], semantics: Tensor, labels: Tensor | None) -> Tensor:
    """``layer(semantics[labels])``, by class or by row, whichever are fewer.

    Args:
        layer: maps each row of semantics by itself.
        semantics: ``(classes, d_a)``; without labels, ``(rows, d_a)``.
        labels: ``(rows,)`` class of each row, in ``[0, classes)``.

    Returns:
        ``(rows, width of the layer)``.
    """
    if labels is None:
        return layer(semantics)
    if len(semantics) < len(labels):
        return layer(semantics).index_select(0, labels)
    return layer(semantics[labels])
