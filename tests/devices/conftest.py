"""The simulated GPU, for the runs of whole commands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ..integration.commands import run_job
from .machine import Machine

PROGRAM = Path(__file__).with_name("simulated.py")


class Simulated:
    """Host memory that says ``cuda:0``: it computes as the CPU does, to the bit."""

    device, processes, figures, losses = "cuda", 2, 1e-9, 1e-6

    def run(
        self, module: str, *arguments: object, processes: int = 1
    ) -> subprocess.CompletedProcess[str]:
        return run_job([PROGRAM, module, *arguments], processes)

    def train_and_kill(self, call: int, *arguments: object) -> subprocess.CompletedProcess[str]:
        return run_job([PROGRAM, "--stop", call, "train", *arguments])


@pytest.fixture(scope="session")
def machine() -> Machine:
    return Simulated()
