"""Tables for people."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from gzsl_dist.distributed.processes import Processes
from gzsl_dist.run.result import FIGURES, Result


def print_result(result: Result, directory: Path, processes: Processes) -> None:
    """Print U, S, H, T1 and AUSUC in percent, once for the job, and where the run is.

    Figures whose test rows are not there are left blank, and a line says so.
    """
    if not processes.is_first:
        return
    table = Table(title=f"{result.method} on {result.dataset['name']}, {result.steps} steps, in %")
    table.add_column("")
    for name in FIGURES:
        table.add_column(name, justify="right")
    rows = {"uncalibrated": result.figures | result.raw}
    if result.calibration["mode"] != "none":
        rows = {"calibrated": result.figures} | rows
    for title, row in rows.items():
        cells = [f"{100 * row[name]:.1f}" if name in row else "–" for name in FIGURES]
        table.add_row(title, *cells)
    console = Console()
    console.print(table)
    if result.note:
        console.print(result.note, highlight=False)
    console.print(f"run: {directory}", highlight=False, soft_wrap=True)
    console.print(f"curves: tensorboard --logdir {directory}", highlight=False, soft_wrap=True)
