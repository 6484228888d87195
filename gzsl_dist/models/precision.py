"""Where half precision is used and where it is not."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Raise half precision to float32; leave float32 and float64 as they are.

    Losses are computed so, whatever precision the networks ran in.
    """
    return values if values.element_size() >= 4 else values.float()


def network_dtype(precision: str) -> torch.dtype:
    """Type of weights and batches: float64 for float64, else float32."""
    return torch.float64 if precision == "float64" else torch.float32


def network_precision(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Context for the networks' forward passes: autocast for bfloat16, else nothing.

    Losses stay outside of it.
    """
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
