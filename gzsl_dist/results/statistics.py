"""Figures over seeds: means, 95 % intervals, and paired differences between methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

WIDEST = 0.25
"""Half the width of an interval that covers half of all that an accuracy can be."""
TWO_SEEDS = (
    "± ?: two seeds say nothing here, the 95 % interval would be wider than "
    f"± {100 * WIDEST:.0f} points. More seeds narrow it."
)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds as a fraction, and half the width of its 95 % interval.

    `half_width` is NaN for fewer than two seeds. A paired difference is one too.
    """

    mean: float
    half_width: float
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Estimate from one value a seed; Student's t with one degree of freedom less."""
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, math.nan, len(values))
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
        return cls(mean, float(stats.t.ppf(0.975, len(values) - 1)) * error, len(values))

    @property
    def lead(self) -> str:
        """Of a difference: with its sign, and a star where its 95 % interval leaves out zero."""
        low, high = self.interval
        return self.text(sign="+") + " *" * (low > 0 or high < 0)

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends; NaN for fewer than two seeds."""
        return self.mean - self.half_width, self.mean + self.half_width

    @property
    def says_nothing(self) -> bool:
        """Whether it is of two seeds whose interval is too wide to be of use (`TWO_SEEDS`)."""
        return self.seeds == 2 and self.half_width > WIDEST

    def text(self, scale: float = 100, digits: int = 1, sign: str = "") -> str:
        """The mean and half the width, in percent by default; ``?`` for one that says nothing."""
        mean = f"{scale * self.mean:{sign}.{digits}f}"
        if self.seeds < 2:
            return mean
        return f"{mean} ± " + (
            "?" if self.says_nothing else f"{scale * self.half_width:.{digits}f}"
        )

    def __str__(self) -> str:
        return self.text()


def paired_difference(one: Mapping[int, float], other: Mapping[int, float]) -> Estimate | None:
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
    return Estimate.of([one[seed] - other[seed] for seed in seeds])
