"""Weight initialization of all networks."""

from __future__ import annotations

from torch import nn


def initialize(module: nn.Module) -> None:
    """Draw weights of all linear layers from N(0, 0.02) and zero biases, as CE-GZSL does."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
