"""What a person sees of a fit that takes long: passes over the rows, and the time left."""

from __future__ import annotations

import time

from torch import Tensor

from gzsl_dist.distributed.log import duration, log_rank0
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.lbfgs import Function

SECONDS_BETWEEN_LINES = 10.0

USUAL_PASSES = 50
"""Of a fit: on CUB, groceries, digits and simulated data they converged after 28 to 55."""


def with_time_left(function: Function, passes: int, processes: DistributedContext) -> Function:
    """The function, which prints every `SECONDS_BETWEEN_LINES` how long the rest may take.

    Args:
        function: to minimize; one evaluation is a pass over the rows.
        passes: about as many there are at most; a fit that converges has `USUAL_PASSES`.
        processes: the job; its first process prints.
    """
    started = last_line = time.monotonic()
    done = 0

    def reported(point: Tensor) -> tuple[float, Tensor]:
        nonlocal done, last_line
        found = function(point)
        done += 1
        now = time.monotonic()
        if now - last_line >= SECONDS_BETWEEN_LINES:
            last_line = now
            each = (now - started) / done
            usual = done < USUAL_PASSES < passes
            left = duration(max(0, (USUAL_PASSES if usual else passes) - done) * each)
            rest = f"about {left} left, if it converges within the usual {USUAL_PASSES} passes"
            text = rest if usual else f"at most about {left} left"
            log_rank0(
                processes, f"classifier: pass {done} over the rows, {each:.1f} s each, {text}"
            )
        return found

    return reported
