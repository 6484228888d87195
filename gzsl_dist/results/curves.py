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
OVER_STEPS = {
    "validation/H": (
        "H, validation classes, %",
        "H on validation classes, in percent,",
        "H on validation classes while training without them, at the factor best for them.",
    )
} | {
    f"{side}/total_loss": (
        f"total loss, {called}", f"Total loss, {called},", f"Total loss, {called}, a line a run."
    )
    for side, called in SIDES.items()
}  # fmt: skip
"""Of logged figures: label of the axis, title, caption."""

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
                axes.plot(*100 * np.array([curve["U"], curve["S"]]), label=label, lw=1.3, **style)
                for marker, raw in (("o", ""), ("x", "raw_")):
                    at = [100 * run.figures[f"{raw}{name}"] for name in ("U", "S")]
                    axes.plot(*at, marker, color=style["color"])
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


def over_steps(groups: Sequence[Finished], name: str) -> Picture | None:
    """A figure of `OVER_STEPS`, a line a run; None if no run logged it."""
    label, title, caption = OVER_STEPS[name]
    found = []
    for group, style in styles(groups):
        points = [
            (run.seed, *_points(run.validation if name == "validation/H" else run.losses, name))
            for run in group.runs
        ]
        found.append((group.name, style, [each for each in points if each[1]]))
    told = [
        _ends(steps, values, f"{called}, seed {seed}")
        for called, _, runs in found
        for seed, steps, values in runs
    ]

    def draw(figure: FigureBase) -> None:
        axes, marker = one_axes(figure), "o" if name == "validation/H" else ""
        for called, style, runs in found:
            for number, (_, steps, values) in enumerate(runs):
                label_once = None if number else called
                axes.plot(steps, values, marker=marker, ms=4, lw=1.3, label=label_once, **style)
        _whole_steps(axes)
        axes.set(xlabel="generator step", ylabel=label, ylim=(0 if marker else None, None))
        axes.legend(fontsize="small")

    alt = f"{title} over generator steps. {'; '.join(told)}."
    return Picture(name.replace("/", "-"), alt, caption, draw) if told else None


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

    told = "; ".join(_ends(*_points(run.losses, name), name) for name in parts)
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


def _ends(steps: list[int], values: list[float], called: str) -> str:
    """The first and the last value in words."""
    if not steps:
        return f"{called}: none"
    return f"{called}: {values[0]:.3g} at step {steps[0]}, {values[-1]:.3g} at step {steps[-1]}"


def overview(groups: Sequence[Finished]) -> list[Picture]:
    """Curves, and validation and losses where there are any."""
    found = [seen_unseen(groups), *(over_steps(groups, name) for name in OVER_STEPS)]
    return [picture for picture in found if picture]
