"""Every parameter's gradient of both sides on the device, against plain code on the CPU.

In float32 (without TF32) within 1e-5, in float64 within 1e-10, relative, a tensor at a time.
"""

from __future__ import annotations

import pytest
import torch

from gzsl_dist.distributed.processes import DistributedContext

from ..distributed.test_gradients import (
    SETTINGS,
    Case,
    assert_same,
    distributed_gradients,
    plain_gradients,
)

BATCH = 24


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("micro", [None, 5], ids=["whole", "micro-batches"])
@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_are_those_of_the_cpu(
    device: torch.device, name: str, micro: int | None, double: bool
) -> None:
    assert torch.get_float32_matmul_precision() == "highest"
    alone = DistributedContext(0, 1, device)
    found = distributed_gradients(alone, name, Case(1, BATCH, double=double, micro=micro))
    assert_same(found, plain_gradients(name, BATCH, double), double, name)
