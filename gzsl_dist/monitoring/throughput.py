"""How fast the job trains, where the time of a step goes, and what it needs."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import torch

from gzsl_dist.distributed.processes import Processes


class Throughput:
    """Figures between two logged steps.

    Rows a second are the job's: rows of the global batch by whole steps. The parts of a step and
    memory are the first process's; ``communication`` is time that it waits for gathered rows, and
    lies within forward. On a GPU parts are the time until work is queued.

    Args:
        batch_size: rows of the global batch.
        step: steps done.
        processes: the job.
    """

    def __init__(self, batch_size: int, step: int, processes: Processes) -> None:
        self._batch_size, self._processes = batch_size, processes
        self.restart(step)

    def restart(self, step: int) -> None:
        """Count from here, after something that is no training, such as a validation."""
        self._step, self._time = step, time.monotonic()
        self._processes.clock.take()

    def figures(self, step: int) -> dict[str, float]:
        """Figures since the last call or `restart`, by TensorBoard tag."""
        steps, seconds = step - self._step, time.monotonic() - self._time
        found = {
            "throughput/rows_per_second": steps * self._batch_size / seconds,
            "step_time/whole": seconds / steps,
            "memory/peak_gigabytes": peak_bytes(self._processes.device) / 1e9,
        }
        parts = self._processes.clock.take().items()
        found |= {f"step_time/{name}": value / steps for name, value in parts}
        self.restart(step)
        return found


def peak_bytes(device: torch.device | None = None) -> int:
    """The most that this process has held: of the GPU's memory, or resident in the machine's."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:  # of this program alone; getrusage counts what it was forked from as well
        return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
