"""How near a training step comes to the speed of plain matrix products."""

from __future__ import annotations

import time
from typing import Any

import torch

# private by its module's name, though torch documents it for this
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

SIZES = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the matrices whose product counts as the peak."""


class MatrixFlops(TorchDispatchMode):
    """Counts the operations of matrix products inside the context, forward and backward.

    Attributes:
        total: a multiply-add counts as two.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it, if it is a matrix product."""
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def peak_rate(device: torch.device, dtype: torch.dtype, repeats: int = 3) -> float:
    """Operations a second of one large square matrix product, the best of some repeats."""
    size = SIZES[device.type]
    left = torch.full((size, size), 0.5, device=device, dtype=dtype)
    best = float("inf")
    for trial in range(repeats + 1):
        started = time.perf_counter()
        left @ left
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if trial:
            best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
