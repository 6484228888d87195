"""Lines that a job prints for people."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gzsl_dist.distributed.processes import DistributedContext


def log_rank0(processes: DistributedContext, text: str) -> None:
    """Print a line once for the whole job, in logs with the time of day."""
    if processes.shows_progress:
        print(text if sys.stdout.isatty() else f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def duration(seconds: float) -> str:
    """Seconds for people."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
