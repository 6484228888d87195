"""Averaged weights: what is evaluated of a training whose last step is only one of many.

A GAN's figures jump from step to step; a moving average of its weights does not (Yazici et al.,
*The Unusual Effectiveness of Averaging in GAN Training*, ICLR 2019).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

AVERAGED = ("generator.", "embedding.")
"""Networks by the start of their weights' names: those that anything is evaluated with."""

FIXED = "generator.anchor."
"""What is not trained."""


class AveragedWeights:
    """``v <- d v + (1 - d) w`` after each step, with ``d = min(decay, (1 + t) / (10 + t))``.

    t is the number of steps before. So early steps, which are far off, do not stay in the average;
    the first is the average. All processes compute alike, of whole weights.

    Args:
        decay: share of the average that stays, in [0, 1).
        values: averages to go on with, by weight; none at the start.
    """

    def __init__(self, decay: float, values: Mapping[str, Tensor] | None = None) -> None:
        self.decay = decay
        self.values = dict(values or {})

    @torch.no_grad()
    def update(self, weights: Mapping[str, Tensor], steps_before: int) -> None:
        """Take the weights after a step; those of other networks are left out."""
        share = min(self.decay, (1 + steps_before) / (10 + steps_before))
        for name, value in weights.items():
            if not name.startswith(AVERAGED) or name.startswith(FIXED):
                continue
            if name in self.values:
                self.values[name].lerp_(value, 1 - share)
            else:
                self.values[name] = value.detach().clone()
