"""`python -m gzsl_dist.verify` on the device: every check holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..devices.machine import Machine
from ..integration.test_verify import verified


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
def test_one_process(machine: Machine, precision: str, tmp_path: Path) -> None:
    settings = ("--train.device", machine.device, "--train.precision", precision)
    checks = verified("--run.dir", tmp_path / "run", *settings)
    assert f" {machine.device}" in checks["devices"]["found"]
    assert precision in checks["gradients, critic"]["found"]


def test_all_devices(machine: Machine, tmp_path: Path) -> None:
    if machine.processes == 1:
        pytest.skip("one device")
    settings = ("--train.device", machine.device, "--train.precision", "float32")
    verified("--run.dir", tmp_path / "run", *settings, processes=machine.processes)
