"""Figures of runs, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from gzsl_dist.evaluation.result import Result

Metrics = list[dict[str, Any]]


def run_figure(
    names: Sequence[str],
    results: Sequence[Result],
    losses: Sequence[Metrics],
    validations: Sequence[Metrics],
) -> bytes:
    """Seen-unseen curves, validation H and losses of runs, side by side.

    Args:
        names: one for each run.
        results: their results.
        losses: lines of each run's metrics.jsonl.
        validations: lines of each run's selection/metrics.jsonl; empty without selection.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    curve, validation, loss = figure.subplots(1, 3)
    for index, (name, result) in enumerate(zip(names, results, strict=True)):
        color = f"C{index}"
        curve.plot(result.curve["U"], result.curve["S"], color=color, label=name)
        curve.plot([result.U], [result.S], "o", color=color)
        curve.plot([result.raw["U"]], [result.raw["S"]], "x", color=color)
        lines = [line for line in validations[index] if "validation/H" in line]
        steps = [line["step"] for line in lines]
        validation.plot(steps, [line["validation/H"] for line in lines], "-o", color=color)
        raw = [line["validation/raw_H"] for line in lines]
        validation.plot(steps, raw, "--", color=color)
        for side, style in (("critic", "-"), ("generator", ":")):
            key = f"{side}/total_loss"
            logged = [line for line in losses[index] if key in line]
            steps = [line["step"] for line in logged]
            loss.plot(steps, [line[key] for line in logged], style, color=color)
    curve.set(xlabel="U", ylabel="S", title="seen-unseen curve (test)  ● calibrated  × raw")
    curve.legend(fontsize="small")
    validation.set(
        xlabel="generator step", ylabel="H", title="validation classes: — calibrated, - - raw"
    )
    loss.set(xlabel="generator step", ylabel="loss", title="loss: — critic side, ··· generator")
    for axes in (curve, validation, loss):
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
