"""What all pictures of a report share: sizes, and a colour and dash for each group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gzsl_dist.results.runs import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = (
    "#2a7de1", "#d9661f", "#2a9d5c", "#9b5de5", "#d6336c", "#0f93a8", "#a0743a", "#808080",
)  # fmt: skip
"""As readable on white as on black; lines have a dash of their own beside."""
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def styles(groups: Sequence[Group]) -> Iterator[tuple[Group, dict[str, Any]]]:
    """Each group with its colour and dash."""
    for index, group in enumerate(groups):
        color, dash = COLORS[index % len(COLORS)], DASHES[index % len(DASHES)]
        yield group, {"color": color, "linestyle": dash}


def blank(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def one_axes(width: float = 4.6, height: float = 3.6) -> tuple[Figure, Axes]:
    """A figure with one grid."""
    figure = blank(width, height)
    axes = figure.subplots()
    axes.grid(alpha=0.25)
    return figure, axes
