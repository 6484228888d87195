"""A picture with the words that say the same; as SVG inside a page, or as PNG."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from gzsl_dist.results.groups import AnyRun, Group, Run, shown_figures
from gzsl_dist.results.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

COLORS = (
    "#2a7de1", "#d9661f", "#2a9d5c", "#9b5de5", "#d6336c", "#0f93a8", "#a0743a", "#808080",
)  # fmt: skip
"""As readable on white as on black; lines have a dash of their own beside."""
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
INK = "#010203"
"""Stands for the text's colour, which a dark page has bright."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "legend.framealpha": 0, "legend.edgecolor": "none",
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": "medium",
    "grid.color": "#808080", "axes.unicode_minus": True,
    "text.parse_math": False,  # the names of classes and runs may hold $
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        name: unlike that of any other picture of its page; marks its element's inner names.
        alt: what it shows, for those who do not see it.
        caption: what it is.
        draw: fills an empty figure, or a part of one.
        size: in inches.
    """

    name: str
    alt: str
    caption: str
    draw: Callable[[FigureBase], None]
    size: tuple[float, float] = (4.6, 3.6)

    def svg(self) -> Markup:
        """An ``<svg>`` element: it takes the page's colours and font, and is read out."""
        import matplotlib
        from matplotlib.figure import Figure

        buffer = io.StringIO()
        with matplotlib.rc_context({**STYLE, "svg.hashsalt": self.name}):
            figure = Figure(figsize=self.size, layout="constrained")
            self.draw(figure)
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        text = buffer.getvalue()
        useless = r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->"
        text = re.sub(useless, "", text, flags=re.DOTALL)
        head, body = text[text.index("<svg") :].split(">", 1)
        found = re.search(r'viewBox="[^"]*"', head)
        body = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", body)
        body = body.replace("xlink:href", "href").replace(INK, "currentColor")
        body = re.sub(r'(id="|url\(#|href="#)', rf"\1{self.name}-", body)
        body = re.sub(r"\n\s*", "\n", body).strip()
        size = f'{found[0] if found else ""} style="max-width: {7.4 * self.size[0]:.0f}rem"'
        return Markup(f'<svg {size} role="img" aria-label="{escape(self.alt)}">{body}')


def png(pictures: Sequence[Picture]) -> bytes:
    """Pictures side by side."""
    import matplotlib
    from matplotlib.figure import Figure

    size = sum(one.size[0] for one in pictures), max(one.size[1] for one in pictures)
    buffer = io.BytesIO()
    with matplotlib.rc_context({"text.parse_math": False}):
        figure = Figure(figsize=size, layout="constrained")
        parts = figure.subfigures(1, len(pictures), squeeze=False)[0]
        for picture, part in zip(pictures, parts, strict=True):
            picture.draw(part)
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


Point = tuple[int, float, str, Estimate | None]
"""Of a picture of intervals: its line, how far above it, its colour, what it shows."""


def intervals(
    labels: Sequence[str], panels: Mapping[str, Sequence[Point]], words: str, width: float
) -> Picture:
    """Means with their 95 % intervals in percent.

    Args:
        labels: of the lines, from the top.
        panels: what stands in each, by its title.
        words: what the figures are.
        width: of a panel, in inches.
    """

    def draw(figure: FigureBase) -> None:
        grids = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (title, points) in zip(grids, panels.items(), strict=True):
            for line, above, color, estimate in points:
                if estimate is not None:
                    half = 0.0 if math.isnan(estimate.half_width) else estimate.half_width
                    axes.errorbar(
                        [100 * estimate.mean], [line - above], xerr=[100 * half], fmt="o",
                        capsize=3, color=color,
                    )  # fmt: skip
            axes.set(title=title, ylim=(len(labels) - 0.5, -0.5))
            axes.grid(axis="x", alpha=0.3)
        grids[0].set_yticks(range(len(labels)), labels)
        figure.supxlabel(f"percent: {words}", fontsize="medium")

    size = 2.7 + width * len(panels), 1.1 + 0.52 * len(labels)
    alt = f"A line a method, {', '.join(labels)}; the table has its numbers: {words}."
    return Picture("intervals", alt, f"In percent: {words}.", draw, size)


def study_picture(groups: Sequence[Group[Run]]) -> Picture:
    """Every combination of a sweep that has a run."""
    shown = [group for group in groups if group.runs]
    methods = [f"{group.data} {group.method}" for group in shown]
    labels = [
        f"{method}\n{group.point}" if methods.count(method) > 1 else method
        for method, group in zip(methods, shown, strict=True)
    ]
    panels = {
        name: [(line, 0.0, COLORS[0], group.estimate(name)) for line, group in enumerate(shown)]
        for name in shown_figures(groups)[:5]
    }
    return intervals(labels, panels, "mean and 95 % interval over seeds", 2)


def one_axes(figure: FigureBase) -> Axes:
    """A single grid."""
    axes: Axes = figure.subplots()
    axes.grid(alpha=0.25)
    return axes


def styles(groups: Sequence[Group[AnyRun]]) -> Iterator[tuple[Group[AnyRun], dict[str, Any]]]:
    """Each group with its colour and dash."""
    for index, group in enumerate(groups):
        color, dash = COLORS[index % len(COLORS)], DASHES[index % len(DASHES)]
        yield group, {"color": color, "linestyle": dash}
