"""Tables for people."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from gzsl_dist.config.presets import BASELINES
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.run.result import FIGURES, Result

DASHBOARD = "http://localhost:6006/#custom_scalars"
"""Where TensorBoard shows the curves that matter; it opens on others."""


def print_result(result: Result, directory: Path, processes: DistributedContext) -> None:
    """Print U, S, H, T1 and AUSUC in percent, once for the job, and where the run is.

    Figures whose test rows are not there are left blank, and a line says so.
    """
    if not processes.is_main_process:
        return
    table = Table(title=f"{result.method} on {result.dataset['name']}, {result.steps} steps, in %")
    table.add_column("")
    for name in FIGURES:
        table.add_column(name, justify="right")
    rows = {"uncalibrated": result.figures | result.raw}
    if result.calibration["mode"] != "none":
        rows = {"calibrated": result.figures} | rows
    if result.baseline:
        rows[f"{result.baseline['method']}, no generator"] = result.baseline
    for title, row in rows.items():
        cells = [f"{100 * row[name]:.1f}" if name in row else "–" for name in FIGURES]
        table.add_row(title, *cells)
    console = Console()
    console.print(table)
    for line in explanations(result):
        console.print(line, highlight=False, soft_wrap=True)
    if result.note:
        console.print(result.note, highlight=False)
    console.print(f"run: {directory}", highlight=False, soft_wrap=True)
    if result.method not in BASELINES:
        text = f"curves: tensorboard --logdir {directory}, then {DASHBOARD}"
        console.print(text, highlight=False, soft_wrap=True)


def explanations(result: Result) -> list[str]:
    """What the metrics of a run mean, a line each, for who sees them for the first time."""
    counts = result.class_counts or {side: len(of) for side, of in result.per_class.items()}
    seen, unseen = counts["seen"], counts["unseen"]
    if result.H is None:
        return []
    lines = [
        f"U, S: top-1 of {unseen} unseen and {seen} seen classes, all competing (chance level "
        f"{_chance(seen + unseen)}); H: their harmonic mean; T1: unseen classes among "
        f"themselves (chance level {_chance(unseen)}); AUSUC: area under S against U",
    ]
    if result.calibration["mode"] != "none":
        by_validation = result.calibration["mode"] == "validation"
        lines.append(
            f"calibrated: seen classes' log-probabilities less {result.calibration['factor']:.3f}, "
            + ("as validation classes chose" if by_validation else "as given")
        )
    if result.raw.get("U") == 0 and result.T1:
        lines.append(
            "an uncalibrated U of 0 is usual for a young generator: seen classes win everywhere; "
            "T1 and AUSUC show what it knows"
        )
    return lines


def _chance(classes: int) -> str:
    """Percent, not rounded to 0 where classes are many."""
    level = 100 / classes
    return f"{level:.1f}" if level >= 0.1 else f"{level:.2g}"
