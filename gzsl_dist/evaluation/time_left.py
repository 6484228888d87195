"""What a person sees of a fit that takes long: passes over the rows, and the time left."""

from __future__ import annotations

import time

from torch import Tensor

from gzsl_dist.distributed.log import duration, log_rank0
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.lbfgs import Function

SECONDS_BETWEEN_LINES = 10.0


def with_time_left(function: Function, passes: int, processes: DistributedContext) -> Function:
    """The function, which prints every `SECONDS_BETWEEN_LINES` how long `passes` of it may take."""
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
            left = duration((passes - done) * each)
            text = f"pass {done} over the rows, {each:.1f} s each, at most about {left} left"
            log_rank0(processes, f"classifier: {text}")
        return found

    return reported
