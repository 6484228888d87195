"""Pictures over steps and over calibration factors; each has a text that says what it shows."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_dist.results.canvas import COLORS, DASHES, blank, one_axes, styles
from gzsl_dist.results.runs import Group
from gzsl_dist.results.tables import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 200  # of a curve over steps
SIDES = {"critic": "critic side", "generator": "generator side"}


def seen_unseen(groups: Sequence[Group]) -> Figure:
    """Seen-unseen curves of all runs."""
    figure, axes = one_axes()
    draw_curves(axes, groups)
    return figure


def draw_curves(axes: Axes, groups: Sequence[Group]) -> None:
    """Curves, and on them where a run is with its factor (dot) and without (cross)."""
    for group, style in styles(groups):
        for number, run in enumerate(group.runs):
            label = group.name if number == 0 else None
            axes.plot(run.result.curve["U"], run.result.curve["S"], label=label, lw=1.3, **style)
            for marker, at in (("o", vars(run.result)), ("x", run.result.raw)):
                axes.plot([at["U"]], [at["S"]], marker, color=style["color"])
    axes.set(xlabel="U", ylabel="S", xlim=(0, None), ylim=(0, None))
    axes.legend(fontsize="small")


def curves_text(groups: Sequence[Group]) -> str:
    """What `seen_unseen` shows."""
    told = "; ".join(
        f"{group.name}: area {percent(group.estimate(lambda run: run.result.AUSUC))}, with the "
        f"factor at U {percent(group.estimate(lambda run: run.result.U))}, "
        f"S {percent(group.estimate(lambda run: run.result.S))}"
        for group in groups
    )
    return f"Seen-unseen curves on test rows, in percent. {told}."


def validation(groups: Sequence[Group]) -> Figure:
    """H on validation classes over steps."""
    figure, axes = one_axes()
    draw_validation(axes, groups)
    return figure


def draw_validation(axes: Axes, groups: Sequence[Group]) -> None:
    """H at the factor best for these rows."""
    for group, style in styles(groups):
        _over_steps(axes, group, [run.validation for run in group.runs], "validation/H", style, "o")
    axes.set(xlabel="generator step", ylabel="H, validation classes", ylim=(0, None))
    axes.legend(fontsize="small")


def validation_text(groups: Sequence[Group]) -> str | None:
    """What `validation` shows; None if no run was validated over steps."""
    return _ends(
        "H on validation classes over generator steps", groups, "validation", "validation/H"
    )


def losses(groups: Sequence[Group], side: str) -> Figure:
    """Total loss of one side, ``critic`` or ``generator``, over steps."""
    figure, axes = one_axes()
    draw_losses(axes, groups, side)
    return figure


def draw_losses(axes: Axes, groups: Sequence[Group], side: str) -> None:
    """One line a run."""
    for group, style in styles(groups):
        lines = [run.losses for run in group.runs]
        _over_steps(axes, group, lines, f"{side}/total_loss", style)
    axes.set(xlabel="generator step", ylabel=f"total loss, {SIDES[side]}")
    axes.legend(fontsize="small")


def losses_text(groups: Sequence[Group], side: str) -> str | None:
    """What `losses` shows; None if no run has a loss."""
    return _ends(
        f"Total loss, {SIDES[side]}, over generator steps", groups, "losses", f"{side}/total_loss"
    )


def parts_of_loss(group: Group) -> list[str]:
    """Names of the logged losses but for the totals."""
    names = {name for run in group.runs for line in run.losses for name in line}
    return sorted(name for name in names if "loss" in name and not name.endswith("/total_loss"))


def loss_parts(group: Group) -> Figure:
    """The losses that the totals are made of, before weighting, of a group's first run."""
    figure = blank(4.6, 5.2)
    run = group.runs[0]
    for axes, side in zip(figure.subplots(2, 1, sharex=True), SIDES, strict=True):
        names = [name for name in parts_of_loss(group) if name.startswith(side)]
        for index, name in enumerate(names):
            steps, values = _points(run.losses, name)
            label = name.split("/")[1].removesuffix("_loss").replace("_", " ")
            dash = DASHES[index % len(DASHES)]
            axes.plot(steps, values, label=label, color=COLORS[index], linestyle=dash)
        axes.grid(alpha=0.25)
        axes.set_ylabel(SIDES[side])
        if names:
            axes.legend(fontsize="small")
    axes.set_xlabel("generator step")
    return figure


def loss_parts_text(group: Group) -> str:
    """What `loss_parts` shows."""
    told = "; ".join(_end(group.runs[0].losses, name, name) for name in parts_of_loss(group))
    return f"Losses by part, {group.name}, seed {group.runs[0].result.seed}. {told}."


def _points(lines: Sequence[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of a logged figure, evenly thinned to `MOST_POINTS`."""
    found = [(line["step"], line[name]) for line in lines if name in line]
    if len(found) > MOST_POINTS:
        kept = np.linspace(0, len(found) - 1, MOST_POINTS).round().astype(int)
        found = [found[place] for place in kept]
    return [step for step, _ in found], [value for _, value in found]


def _over_steps(
    axes: Axes, group: Group, lines: list[list[dict[str, Any]]], name: str, style: dict[str, Any],
    marker: str = "",
) -> None:  # fmt: skip
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    first = True
    for each in lines:
        steps, values = _points(each, name)
        if steps:
            label = group.name if first else None
            axes.plot(steps, values, marker=marker, ms=4, lw=1.3, label=label, **style)
            first = False


def _end(lines: Sequence[dict[str, Any]], name: str, called: str) -> str:
    steps, values = _points(lines, name)
    if not steps:
        return f"{called}: none"
    return f"{called}: {values[0]:.3g} at step {steps[0]}, {values[-1]:.3g} at step {steps[-1]}"


def _ends(title: str, groups: Sequence[Group], lines: str, name: str) -> str | None:
    told = [
        _end(getattr(run, lines), name, f"{group.name}, seed {run.result.seed}")
        for group in groups
        for run in group.runs
        if any(name in line for line in getattr(run, lines))
    ]
    return f"{title}. {'; '.join(told)}." if told else None


def overview(groups: Sequence[Group]) -> bytes:
    """Curves, and validation and losses where there are any, in one PNG."""
    drawn: list[Callable[[Axes], None]] = [lambda axes: draw_curves(axes, groups)]
    if validation_text(groups):
        drawn.append(lambda axes: draw_validation(axes, groups))
    for side in SIDES:
        if losses_text(groups, side):
            drawn.append(partial(draw_losses, groups=groups, side=side))
    figure = blank(3.25 * len(drawn), 3.7)
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axes, draw in zip(panels, drawn, strict=True):
        draw(axes)
    panels[0].set_title("test rows: ● calibrated, × raw", fontsize="medium")
    for axes in panels:
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
