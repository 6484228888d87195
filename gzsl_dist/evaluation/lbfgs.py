"""L-BFGS for a smooth function, with stopping rules that have no scale.

The two-loop recursion of Nocedal & Wright, Numerical Optimization (2006), algorithm 7.4. Vectors
may be spread over processes: the caller hands in the inner product, and every decision (line
search, end) is made from inner products and values of the function alone. Where these numbers are
the same on all processes, so are the decisions, however the threads of each round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Ended = Literal["converged", "iterations", "line search", "closed form"]
InnerProduct = Callable[[Tensor, Tensor], float]
Function = Callable[[Tensor], tuple[float, Tensor]]
"""Value and gradient ``(size,)`` at a point ``(size,)``; the value is the same on all processes."""

HISTORY = 10
SUFFICIENT_DECREASE, CURVATURE = 1e-4, 0.9  # c1 and c2 of the Wolfe conditions
ROUNDING = 1e-6  # values closer than this, relatively, may differ by rounding alone
AVERAGED = 3  # iterations over which the relative decrease is averaged: one may be unlucky
RELATIVE_GRADIENT = 1e-6
TRIALS = 25


@dataclass(frozen=True)
class FitSummary:
    """How a minimization ended.

    Attributes:
        iterations: of L-BFGS.
        evaluations: of the function and its gradient.
        relative_gradient: Euclidean length of the gradient at the end over that at the start.
        ended: ``converged``; ``iterations`` where there were no more; ``line search`` where no
            point along the direction was lower, which rounding causes near the minimum;
            ``closed form`` where nothing was minimized (`gzsl_dist.evaluation.closed_form`).
    """

    iterations: int
    evaluations: int
    relative_gradient: float
    ended: Ended


@dataclass(frozen=True)
class _Point:
    step: float
    value: float
    slope: float
    gradient: Tensor


def minimize(
    function: Function,
    start: Tensor,
    inner: InnerProduct,
    *,
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, FitSummary]:
    """Minimize a smooth function that is positive; of one that is not convex, find a minimum.

    It ends where an iteration lowers the function by less than `tolerance` of its value (mean of
    the last `AVERAGED` iterations), or where the gradient is `RELATIVE_GRADIENT` of the first one.

    Returns:
        The lowest point found, ``(size,)`` as the start, and how it ended.
    """
    point = start
    value, gradient = function(point)
    evaluations, done = 1, 0
    ended: Ended = "iterations"
    first_length = inner(gradient, gradient) ** 0.5
    length = first_length
    pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=HISTORY)  # s, y, s . y
    values = deque([value], maxlen=AVERAGED + 1)
    # the first step that is tried: where a line down the gradient is zero (Polyak's step)
    scale = value / first_length**2 if first_length > 0 else 1.0
    while done < iterations:
        if length <= RELATIVE_GRADIENT * first_length:
            ended = "converged"
            break
        direction = _direction(gradient, pairs, scale, inner)
        slope = inner(gradient, direction)
        if not slope < 0:  # the history is spoiled by rounding
            pairs.clear()
            direction = gradient * -scale
            slope = -scale * length**2
        found, tried = _line_search(function, point, direction, value, slope, inner)
        evaluations += tried
        if found is None:
            ended = "line search"
            break
        done += 1
        move, change = direction * found.step, found.gradient - gradient
        bend = inner(move, change)
        if bend > 0:
            pairs.append((move, change, bend))
            scale = bend / inner(change, change)
        point, value, gradient = point + move, found.value, found.gradient
        length = inner(gradient, gradient) ** 0.5
        values.append(value)
        if len(values) > AVERAGED and values[0] - value <= AVERAGED * tolerance * abs(values[0]):
            ended = "converged"
            break
    relative = length / first_length if first_length > 0 else 0.0
    return point, FitSummary(done, evaluations, relative, ended)


def _direction(
    gradient: Tensor,
    pairs: deque[tuple[Tensor, Tensor, float]],
    scale: float,
    inner: InnerProduct,
) -> Tensor:
    """The two-loop recursion: minus the inverse Hessian, as the pairs know it, on the gradient."""
    direction = -gradient
    shares = []
    for move, change, bend in reversed(pairs):
        shares.append(inner(move, direction) / bend)
        direction.add_(change, alpha=-shares[-1])
    direction.mul_(scale)
    for (move, change, bend), share in zip(pairs, reversed(shares), strict=True):
        direction.add_(move, alpha=share - inner(change, direction) / bend)
    return direction


def _line_search(
    function: Function,
    point: Tensor,
    direction: Tensor,
    value: float,
    slope: float,
    inner: InnerProduct,
) -> tuple[_Point | None, int]:
    """A step that meets the strong Wolfe conditions, and how many were tried.

    The slope of a convex function rises along a line, so a secant of slopes finds its zero. Where
    values differ by rounding alone, slopes decide (Hager & Zhang, SIAM J. Optim. 2005). When the
    trials end without, the lowest point found that lowers the function is taken.
    """
    low, low_slope = 0.0, slope
    high, high_slope = float("inf"), float("nan")
    step, best = 1.0, None
    for trial in range(1, TRIALS + 1):
        new_value, gradient = function(point + step * direction)
        new_slope = inner(gradient, direction)
        # a value that is not finite is neither lower nor flat: the step was too long
        lower = new_value <= value + SUFFICIENT_DECREASE * step * slope or (
            new_value <= value + ROUNDING * abs(value)
            and new_slope <= (2 * SUFFICIENT_DECREASE - 1) * slope
        )
        found = _Point(step, new_value, new_slope, gradient)
        if lower and abs(new_slope) <= -CURVATURE * slope:
            return found, trial
        if lower and (best is None or new_value < best.value):
            best = found
        if lower and new_slope < 0:
            low, low_slope = step, new_slope
        else:
            high, high_slope = step, new_slope
        step = _next_step(low, low_slope, high, high_slope)
    return best, TRIALS


def _next_step(low: float, low_slope: float, high: float, high_slope: float) -> float:
    """Where the secant of the slopes is zero, kept away from the ends of the bracket."""
    if high == float("inf"):
        return 4 * low
    secant = float("nan")
    if high_slope > low_slope:
        secant = low - low_slope * (high - low) / (high_slope - low_slope)
    tenth = (high - low) / 10
    if not low <= secant <= high:
        return (low + high) / 2
    return min(max(secant, low + tenth), high - tenth)
