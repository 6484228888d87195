"""The commands on the device, through kill -9, against the CPU; the tests of the simulated GPU."""

from __future__ import annotations

from ..devices.test_whole_runs import *  # noqa: F403
