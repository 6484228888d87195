"""Tables for people."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from gzsl_dist.distributed.processes import Processes
from gzsl_dist.run.result import Result


def print_result(result: Result, directory: Path, processes: Processes) -> None:
    """Print U, S, H, T1 and AUSUC in percent, once for the job, and where the run is."""
    if not processes.is_first:
        return
    table = Table(title=f"{result.method} on {result.dataset['name']}, {result.steps} steps, in %")
    table.add_column("")
    for name in ("U", "S", "H", "T1", "AUSUC"):
        table.add_column(name, justify="right")
    shared = [f"{100 * result.T1:.1f}", f"{100 * result.AUSUC:.1f}"]
    rows = {"uncalibrated": result.raw}
    if result.calibration["mode"] != "none":
        rows = {"calibrated": {"U": result.U, "S": result.S, "H": result.H}} | rows
    for title, figures in rows.items():
        table.add_row(title, *(f"{100 * figures[name]:.1f}" for name in ("U", "S", "H")), *shared)
    console = Console()
    console.print(table)
    console.print(f"run: {directory}", highlight=False, soft_wrap=True)
    console.print(f"curves: tensorboard --logdir {directory}", highlight=False, soft_wrap=True)
