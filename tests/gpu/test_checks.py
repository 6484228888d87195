"""What the simulated GPU refuses and allows, a real one does too; the same tests."""

from __future__ import annotations

import pytest

from ..devices.machine import Machine
from ..devices.test_checks import *  # noqa: F403


@pytest.fixture(autouse=True)
def _real_gpu(machine: Machine) -> None:
    if machine.device == "cpu":
        pytest.skip("host memory alone cannot mix devices; tests/devices runs these tests")
