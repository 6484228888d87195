"""SHA-256 of a network's weights."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def fingerprint(network: nn.Module) -> str:
    """SHA-256 (hex) of names, types, shapes and values; equal for equal weights on any device."""
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        values = values.detach().cpu().contiguous()
        digest.update(str((name, str(values.dtype), tuple(values.shape))).encode())
        digest.update(values.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
