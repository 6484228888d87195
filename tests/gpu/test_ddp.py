"""DDP and the package's collectives over NCCL, on one device and on all, against plain code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gzsl_dist.distributed.processes import collective_backend

from ..devices.machine import Machine
from ..distributed.test_gradients import SETTINGS, assert_same, plain_gradients
from ..integration.commands import PATIENCE, ROOT, environment
from .ddp import BATCH, WIDTH

PROGRAM = Path(__file__).with_name("ddp.py")


@pytest.mark.parametrize("number", ["one device", "all devices"])
def test_gradients_and_collectives(machine: Machine, number: str, tmp_path: Path) -> None:
    count = machine.processes if number == "all devices" else 1
    if number == "all devices" and count == 1:
        pytest.skip("one device: the other test has run on it")
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
    done = subprocess.run(
        [sys.executable, *start, str(PROGRAM), machine.device, str(tmp_path)],
        capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, check=False,
        env=environment() | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    factors = sum(range(1, count + 1))
    for rank in range(count):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found["backend"] == collective_backend(torch.device(machine.device))
        rows = torch.arange(count).repeat_interleave(torch.arange(1, count + 1))
        assert torch.equal(found["gathered"], rows[:, None].float().expand(-1, WIDTH))
        assert torch.equal(found["gradient"], torch.full((rank + 1, WIDTH), float(factors)))
        assert (found["total"], found["first"]) == (factors, 5)
        assert found["objects"] == list(range(count))
        for double in (False, True):
            for name in SETTINGS:
                expected = plain_gradients(name, BATCH, double, count)
                assert_same(found[str(double)][name], expected, double, (name, rank))
