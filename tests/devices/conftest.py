"""The simulated GPU, for the runs of whole commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..integration.commands import PATIENCE, ROOT, environment
from .machine import Machine

PROGRAM = Path(__file__).with_name("simulated.py")


class Simulated:
    """Host memory that says ``cuda:0``: it computes as the CPU does, to the bit."""

    device, processes, figures, losses = "cuda", 2, 1e-9, 1e-6

    def run(
        self, module: str, *arguments: object, processes: int = 1
    ) -> subprocess.CompletedProcess[str]:
        return self._start(module, *arguments, processes=processes)

    def train_and_kill(self, call: int, *arguments: object) -> subprocess.CompletedProcess[str]:
        return self._start("--stop", call, "train", *arguments)

    def _start(self, *arguments: object, processes: int = 1) -> subprocess.CompletedProcess[str]:
        start = [sys.executable]
        if processes > 1:
            start += ["-m", "torch.distributed.run", "--standalone"]
            start += [f"--nproc_per_node={processes}"]
        return subprocess.run(
            [*start, str(PROGRAM), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd=ROOT,
            env=environment() | {"PYTHONPATH": str(ROOT)},
            check=False,
        )


@pytest.fixture(scope="session")
def machine() -> Machine:
    return Simulated()
