"""Pictures of classes: accuracies, confusion, similarities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_dist.evaluation.representation import GROUPS
from gzsl_dist.results.class_tables import class_accuracies, confusion_shares
from gzsl_dist.results.picture import COLORS, Picture, one_axes, styles
from gzsl_dist.results.runs import Finished

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

MOST_CELLS = 60  # classes of a confusion picture


def class_spread(groups: Sequence[Finished], side: str) -> Picture | None:
    """Accuracy of each class, best first; None without test rows."""

    def draw(figure: FigureBase) -> None:
        axes = one_axes(figure)
        for group, style in styles(groups):
            values = [100 * value for value in class_accuracies(group, side).values()]
            places = 100 * (np.arange(len(values)) + 0.5) / max(len(values), 1)
            axes.plot(places, values, label=group.name, lw=1.5, **style)
        label = f"{side} classes, best first, %"
        axes.set(xlabel=label, ylabel="top-1, %", xlim=(0, 100), ylim=(-3, 103))
        axes.legend(fontsize="small")

    told = []
    for group in groups:
        values = np.array(list(class_accuracies(group, side).values()))
        if len(values):
            low, middle, high = 100 * np.quantile(values, (0.25, 0.5, 0.75))
            told.append(
                f"{group.name}: median {middle:.0f}, quarter of the classes below {low:.0f}, "
                f"quarter above {high:.0f}, {int((values == 0).sum())} never right"
            )
    picture = Picture(
        f"classes-{side}",
        f"Accuracy of {side} classes, best first, in percent. {'; '.join(told)}.",
        f"Top-1 of each {side} class, from the best to the worst.",
        draw,
        (4.6, 3.2),
    )
    return picture if told else None


def confusion(number: int, group: Finished) -> Picture | None:
    """Shares of each unseen class's rows by the unseen class they were taken for, if written.

    Of many classes the `MOST_CELLS` least often right.
    """
    shares = confusion_shares(group)
    if not shares:
        return None
    every = sorted({true for true, _ in shares}, key=lambda one: (shares.get((one, one), 0), one))
    names = sorted(every[:MOST_CELLS])

    def draw(figure: FigureBase) -> None:
        from matplotlib.patches import Rectangle

        places = {name: place for place, name in enumerate(names)}
        axes = figure.subplots()
        for (true, taken), share in shares.items():
            if true in places and taken in places:
                corner = places[taken] - 0.5, places[true] - 0.5
                axes.add_patch(
                    Rectangle(corner, 1, 1, color=COLORS[0], alpha=0.08 + 0.92 * share, lw=0)
                )
        size = max(4.0, min(9.0, 260 / len(names)))
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
        axes.tick_params(length=0, pad=1)
        last = len(names) - 0.5
        axes.set(xlabel="predicted as", ylabel="unseen class", xlim=(-0.5, last), ylim=(last, -0.5))
        axes.set_aspect("equal")
        for spine in axes.spines.values():
            spine.set_visible(True)
            spine.set_alpha(0.3)

    right = [100 * shares.get((name, name), 0) for name in names]
    listed = f"; the {MOST_CELLS} classes least often right" if len(every) > MOST_CELLS else ""
    return Picture(
        f"confusion-{number}",
        f"Confusion among {len(names)} unseen classes, {group.name}: rows predicted as their own "
        f"class {np.mean(right):.0f} percent on average over classes, from {min(right):.0f} to "
        f"{max(right):.0f}; the table of mistakes names the most frequent others.",
        f"{group.name}: share of each unseen class's rows (line) by the unseen class that they "
        f"were predicted as (column); stronger is more{listed}.",
        draw,
        (5.6, 5.6),
    )


def similarities(number: int, group: Finished) -> Picture | None:
    """Similarities of pairs of one class and of two, real and synthetic, unseen and seen."""
    measured = [run.representation for run in group.runs if run.representation]
    if not measured:
        return None
    space = measured[0]["space"]
    found: dict[str, tuple[Any, Any]] = {}  # means over runs of shares of pairs by similarity
    for kind in GROUPS:
        spaces = [each["groups"][kind][space] for each in measured if kind in each["groups"]]
        if spaces:
            same, other = ([each[name] for each in spaces] for name in ("same", "other"))
            found[kind] = np.mean(same, axis=0), np.mean(other, axis=0)

    def draw(figure: FigureBase) -> None:
        low = 0.0
        grids = figure.subplots(2, 2, sharex=True).flat
        for axes, kind in zip(grids, GROUPS, strict=True):
            axes.set_title(kind)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            if kind in found:
                same, other = found[kind]
                edges = np.linspace(-1, 1, len(same) + 1)
                filled = {"fill": True, "alpha": 0.55}
                axes.stairs(other, edges, color=COLORS[1], label="two classes", **filled)
                axes.stairs(same, edges, color=COLORS[0], label="one class", **filled)
                axes.stairs(same, edges, color=COLORS[0], lw=1.2)
                low = edges[:-1][(same > 1e-3) | (other > 1e-3)].min(initial=low)
        grids[0].set_xlim(low - 0.03, 1.02)
        grids[0].legend(fontsize="small", loc="best")
        figure.supxlabel(f"cosine similarity in {space}", fontsize="medium")

    told = []
    for kind, (same, other) in found.items():
        centers = (np.arange(len(same)) + 0.5) * 2 / len(same) - 1
        told.append(
            f"{kind}: mean {same @ centers:.2f} in one class, {other @ centers:.2f} across, "
            f"common area {np.minimum(same, other).sum():.2f}"
        )
    return Picture(
        f"similarities-{number}",
        f"Cosine similarities of pairs of rows in {space}, {group.name}. {'; '.join(told)}.",
        f"{group.name}, in {space}: shares of pairs of rows by similarity, mean over seeds. The "
        "less the two overlap, the more separable the classes.",
        draw,
        (4.8, 4.2),
    )
