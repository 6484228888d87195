"""Figures over seeds: means, 95 % intervals, and paired differences between methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds as a fraction, and half the width of its 95 % interval.

    `half_width` is NaN for fewer than two seeds.
    """

    mean: float
    half_width: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Estimate from one value a seed; Student's t with one degree of freedom less."""
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, math.nan)
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
        return cls(mean, float(stats.t.ppf(0.975, len(values) - 1)) * error)

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends; NaN for fewer than two seeds."""
        return self.mean - self.half_width, self.mean + self.half_width

    def text(self, scale: float = 100, digits: int = 1, sign: str = "") -> str:
        """The mean and half the width, in percent unless told otherwise."""
        width = "" if math.isnan(self.half_width) else f" ± {scale * self.half_width:.{digits}f}"
        return f"{scale * self.mean:{sign}.{digits}f}{width}"

    def __str__(self) -> str:
        return self.text()


@dataclass(frozen=True)
class Difference:
    """How far one method is ahead of another on the same seeds.

    Attributes:
        seeds: that both have.
        estimate: of the difference; its interval is that of the paired t-test.
    """

    seeds: tuple[int, ...]
    estimate: Estimate

    @property
    def is_shown(self) -> bool:
        """Whether the 95 % interval leaves out zero; without an interval it does not."""
        low, high = self.estimate.interval
        return low > 0 or high < 0

    def __str__(self) -> str:
        return self.estimate.text(sign="+") + (" *" if self.is_shown else "")


def paired_difference(one: Mapping[int, float], other: Mapping[int, float]) -> Difference | None:
    """Mean of ``one - other`` over the seeds that both have, with its 95 % interval.

    A seed decides the validation rows held out and all draws, so pairs share what is luck of the
    seed, and the interval of the differences is the one to read, not whether two intervals overlap.

    Args:
        one: a figure by seed.
        other: the same figure of another method.

    Returns:
        None where no seed is shared.
    """
    seeds = tuple(sorted(set(one) & set(other)))
    if not seeds:
        return None
    return Difference(seeds, Estimate.of([one[seed] - other[seed] for seed in seeds]))
