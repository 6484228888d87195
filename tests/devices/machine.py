"""What the whole runs of `test_whole_runs` need of a device, simulated or real."""

from __future__ import annotations

import subprocess
from typing import Protocol


class Machine(Protocol):
    """Runs the package's commands on a device.

    Attributes:
        device: as ``--train.device`` names it.
        processes: how many a job can have, each with a device of its own.
        figures: how far U, S and H may be from the CPU's or from one process's.
        losses: the same of losses in float64, relative.
    """

    device: str
    processes: int
    figures: float
    losses: float

    def run(
        self, module: str, *arguments: object, processes: int = 1
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python -m gzsl_dist.<module>``."""

    def train_and_kill(self, call: int, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Train, and get SIGKILL just before training step `call`."""
