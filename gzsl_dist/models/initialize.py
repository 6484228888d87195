"""Weight initialization of all networks."""

from __future__ import annotations

from torch import nn

WEIGHT_DEVIATION = 0.02


def initialize(module: nn.Module) -> None:
    """Draw weights of all linear layers from N(0, 0.02) and zero biases, as CE-GZSL does."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, WEIGHT_DEVIATION)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
