"""Pictures over steps and over calibration factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_dist.results.picture import COLORS, DASHES, Picture, one_axes, styles
from gzsl_dist.results.runs import Finished
from gzsl_dist.results.tables import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

MOST_POINTS = 200  # of a curve over steps
SIDES = {"critic": "critic side", "generator": "generator side"}

Lines = list[dict[str, Any]]
"""Of a file of metrics."""


def seen_unseen(groups: Sequence[Finished]) -> Picture:
    """Curves of all runs, and on them where a run is with its factor (dot) and without (cross)."""

    def draw(figure: FigureBase) -> None:
        axes = one_axes(figure)
        for group, style in styles(groups):
            for number, run in enumerate(group.runs):
                curve, label = run.result.curve, group.name if number == 0 else None
                if not curve:
                    axes.set_title(run.result.note, fontsize="medium")
                    continue
                figures = run.figures
                calibrated, without = (
                    [figures[f"{raw}U"], figures[f"{raw}S"]] for raw in ("", "raw_")
                )
                axes.plot(*100 * np.array([curve["U"], curve["S"]]), label=label, lw=1.3, **style)
                axes.plot(*100 * np.array(calibrated), "o", color=style["color"])
                axes.plot(*100 * np.array(without), "x", color=style["color"])
        axes.set(xlim=(0, None), ylim=(0, None))
        axes.set(xlabel="U, %: ● calibrated, × uncalibrated", ylabel="S, test rows, %")
        if axes.lines:
            axes.legend(fontsize="small")

    told = "; ".join(
        "{}: area {}, with the factor at U {}, S {}".format(
            group.name, *(figure_text(name, group.estimate(name)) for name in ("AUSUC", "U", "S"))
        )
        for group in groups
        if group.estimate("AUSUC")
    )
    return Picture(
        "curves",
        f"Seen-unseen curves on test rows, in percent. {told}.",
        "Seen-unseen curves on test rows: what every calibration factor would give. Dot: with the "
        "factor that validation classes chose; cross: uncalibrated.",
        draw,
    )


def validation(groups: Sequence[Finished]) -> Picture | None:
    """H on validation classes over steps; None if no run was validated over steps."""
    lines = [[run.validation for run in group.runs] for group in groups]
    return _over_steps(
        "validation", groups, lines, "validation/H", "H, validation classes, %",
        "H on validation classes over generator steps, in percent",
        "H on validation classes while training without them, at the factor best for them.",
    )  # fmt: skip


def losses(groups: Sequence[Finished], side: str) -> Picture | None:
    """Total loss of one side, ``critic`` or ``generator``, over steps; None if no run has one."""
    lines, called = [[run.losses for run in group.runs] for group in groups], SIDES[side]
    return _over_steps(
        f"loss-{side}", groups, lines, f"{side}/total_loss", f"total loss, {called}",
        f"Total loss, {called}, over generator steps", f"Total loss, {called}, a line a run.",
    )  # fmt: skip


def _over_steps(
    name: str, groups: Sequence[Finished], lines: list[list[Lines]], figure_name: str, label: str,
    shows: str, caption: str,
) -> Picture | None:  # fmt: skip
    """A logged figure, a line a run; None if no run logged it."""
    told = [
        _ends(each, figure_name, f"{group.name}, seed {run.seed}")
        for group, of_group in zip(groups, lines, strict=True)
        for run, each in zip(group.runs, of_group, strict=True)
        if any(figure_name in line for line in each)
    ]

    def draw(figure: FigureBase) -> None:
        axes, lowest = one_axes(figure), 0 if name == "validation" else None
        for (group, style), of_group in zip(styles(groups), lines, strict=True):
            found = [points for each in of_group if (points := _points(each, figure_name))[0]]
            for number, points in enumerate(found):
                marker, named = "o" if lowest == 0 else "", None if number else group.name
                axes.plot(*points, marker=marker, ms=4, lw=1.3, label=named, **style)
        _whole_steps(axes)
        axes.set(xlabel="generator step", ylabel=label, ylim=(lowest, None))
        axes.legend(fontsize="small")

    return Picture(name, f"{shows}. {'; '.join(told)}.", caption, draw) if told else None


def loss_parts(number: int, group: Finished) -> Picture | None:
    """The losses that the totals are made of, before weighting, of a group's first run, if any."""
    names = {name for run in group.runs for line in run.losses for name in line}
    parts = sorted(name for name in names if "loss" in name and not name.endswith("/total_loss"))
    run = group.runs[0]

    def draw(figure: FigureBase) -> None:
        for axes, side in zip(figure.subplots(2, 1, sharex=True), SIDES, strict=True):
            for index, name in enumerate(name for name in parts if name.startswith(side)):
                label = name.split("/")[1].removesuffix("_loss").replace("_", " ")
                style = {"color": COLORS[index], "linestyle": DASHES[index % len(DASHES)]}
                axes.plot(*_points(run.losses, name), label=label, **style)
                axes.legend(fontsize="small")
            axes.grid(alpha=0.25)
            axes.set_ylabel(SIDES[side])
        _whole_steps(axes)
        axes.set_xlabel("generator step")

    told = "; ".join(_ends(run.losses, name, name) for name in parts)
    picture = Picture(
        f"parts-{number}",
        f"Losses by part, {group.name}, seed {run.seed}. {told}.",
        f"{group.name}, seed {run.seed}: parts of both sides' losses, before weighting.",
        draw,
        (4.6, 5.2),
    )
    return picture if parts else None


def _whole_steps(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _points(lines: Lines, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of a logged figure, H in percent, evenly thinned to `MOST_POINTS`."""
    scale = 100 if name.endswith("/H") else 1
    found = [(line["step"], scale * line[name]) for line in lines if name in line]
    if len(found) > MOST_POINTS:
        kept = np.linspace(0, len(found) - 1, MOST_POINTS).round().astype(int)
        found = [found[place] for place in kept]
    return [step for step, _ in found], [value for _, value in found]


def _ends(lines: Lines, name: str, called: str) -> str:
    """The first and the last value in words."""
    steps, values = _points(lines, name)
    if not steps:
        return f"{called}: none"
    return f"{called}: {values[0]:.3g} at step {steps[0]}, {values[-1]:.3g} at step {steps[-1]}"


def overview(groups: Sequence[Finished]) -> list[Picture]:
    """Curves, and validation and losses where there are any."""
    found = [seen_unseen(groups), validation(groups), *(losses(groups, side) for side in SIDES)]
    return [picture for picture in found if picture]
