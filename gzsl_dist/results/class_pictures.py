"""Pictures of classes: accuracies, confusion, similarities; each has a text that says the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_dist.evaluation.representation import GROUPS
from gzsl_dist.results.canvas import COLORS, blank, one_axes, styles
from gzsl_dist.results.runs import Group
from gzsl_dist.results.tables import class_accuracies, confusion_shares, spaces_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CELLS = 60  # classes of a confusion picture


def class_spread(groups: Sequence[Group], side: str) -> Figure:
    """Accuracy of each class, best first."""
    figure, axes = one_axes(4.6, 3.2)
    for group, style in styles(groups):
        values = [100 * value for value in class_accuracies(group, side).values()]
        places = 100 * (np.arange(len(values)) + 0.5) / max(len(values), 1)
        axes.plot(places, values, label=group.name, lw=1.5, **style)
    axes.set(
        xlabel=f"{side} classes, best first, %", ylabel="top-1, %", xlim=(0, 100), ylim=(-3, 103)
    )
    axes.legend(fontsize="small")
    return figure


def class_spread_text(groups: Sequence[Group], side: str) -> str:
    """What `class_spread` shows."""
    told = []
    for group in groups:
        values = np.array(list(class_accuracies(group, side).values()))
        if len(values):
            low, middle, high = 100 * np.quantile(values, (0.25, 0.5, 0.75))
            told.append(
                f"{group.name}: median {middle:.0f}, quarter of the classes below {low:.0f}, "
                f"quarter above {high:.0f}, {int((values == 0).sum())} never right"
            )
    return f"Accuracy of {side} classes, best first, in percent. {'; '.join(told)}."


def confusion_classes(group: Group) -> list[str]:
    """Unseen classes of the picture: all, or the `MOST_CELLS` least often right."""
    shares = confusion_shares(group)
    names = sorted(
        {true for true, _ in shares}, key=lambda name: (shares.get((name, name), 0), name)
    )
    return sorted(names[:MOST_CELLS])


def confusion(group: Group) -> Figure:
    """Shares of each unseen class's rows by the unseen class they were taken for."""
    from matplotlib.collections import PatchCollection
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    names = confusion_classes(group)
    places = {name: place for place, name in enumerate(names)}
    cells = [
        (places[taken], places[true], share)
        for (true, taken), share in confusion_shares(group).items()
        if true in places and taken in places
    ]
    figure = blank(5.6, 5.6)
    axes = figure.subplots()
    squares = PatchCollection([Rectangle((x - 0.5, y - 0.5), 1, 1) for x, y, _ in cells], lw=0)
    squares.set_facecolor([to_rgba(COLORS[0], 0.08 + 0.92 * share) for _, _, share in cells])
    axes.add_collection(squares)
    size = max(4.0, min(9.0, 260 / max(len(names), 1)))
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.tick_params(length=0, pad=1)
    last = len(names) - 0.5
    axes.set(xlabel="taken for", ylabel="unseen class", xlim=(-0.5, last), ylim=(last, -0.5))
    axes.set_aspect("equal")
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_alpha(0.3)
    return figure


def confusion_text(group: Group) -> str:
    """What `confusion` shows."""
    shares, names = confusion_shares(group), confusion_classes(group)
    right = [100 * shares.get((name, name), 0) for name in names]
    return (
        f"Confusion among {len(names)} unseen classes, {group.name}: rows taken for their own "
        f"class {np.mean(right):.0f} percent on average over classes, from {min(right):.0f} to "
        f"{max(right):.0f}; the table of mistakes names the most frequent others."
    )


def similarities(group: Group) -> Figure:
    """Similarities of pairs of one class and of two, real and synthetic, unseen and seen."""
    space = spaces_of(group)[0]
    figure = blank(4.8, 4.2)
    low = 0.0
    for axes, kind in zip(figure.subplots(2, 2, sharex=True).flat, GROUPS, strict=True):
        axes.set_title(kind)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        same, other = (_histogram(group, kind, space, name) for name in ("same", "other"))
        if same is None or other is None:
            continue
        edges = np.linspace(-1, 1, len(same) + 1)
        axes.stairs(other, edges, fill=True, color=COLORS[1], alpha=0.55, label="two classes")
        axes.stairs(same, edges, fill=True, color=COLORS[0], alpha=0.55, label="one class")
        axes.stairs(same, edges, color=COLORS[0], lw=1.2)
        low = edges[:-1][(same > 1e-3) | (other > 1e-3)].min(initial=low)
    figure.axes[0].set_xlim(low - 0.03, 1.02)
    figure.axes[0].legend(fontsize="small", loc="best")
    figure.supxlabel(f"cosine similarity in {space}", fontsize="medium")
    return figure


def _histogram(group: Group, kind: str, space: str, name: str) -> np.ndarray[Any, Any] | None:
    """Mean over a group's runs of the shares of pairs by similarity."""
    found = [
        run.representation["groups"][kind][space][name]
        for run in group.runs
        if run.representation and kind in run.representation["groups"]
    ]
    return np.mean(found, axis=0) if found else None


def similarities_text(group: Group) -> str:
    """What `similarities` shows."""
    space = spaces_of(group)[0]
    told = []
    for kind in GROUPS:
        same, other = (_histogram(group, kind, space, name) for name in ("same", "other"))
        if same is not None and other is not None:
            centers = (np.arange(len(same)) + 0.5) * 2 / len(same) - 1
            told.append(
                f"{kind}: mean {same @ centers:.2f} in one class, {other @ centers:.2f} across, "
                f"common area {np.minimum(same, other).sum():.2f}"
            )
    return f"Cosine similarities of pairs of rows in {space}, {group.name}. {'; '.join(told)}."
