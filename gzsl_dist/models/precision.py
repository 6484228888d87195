"""Where half precision is used and where it is not."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from gzsl_dist.losses.similarities import at_least_float32 as at_least_float32


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
