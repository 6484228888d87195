"""How fast the job trains, where the time of a step goes, and what it needs."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from gzsl_dist.config import TrainSettings
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.models.precision import network_dtype
from gzsl_dist.monitoring.matrix_products import MatrixFlops, peak_rate


class Throughput:
    """Figures between two logged steps.

    Rows a second are the job's: rows of the global batch by whole steps. The parts of a step and
    memory are the first process's; ``communication`` is time that it waits for gathered rows, and
    lies within forward. On a GPU parts are the time until work is queued.

    ``peak_share`` is the speed of the step's matrix products, all of its time counted, as a part
    of the speed of one large matrix product in the same precision, measured at the start.
    """

    def __init__(self, settings: TrainSettings, step: int, processes: Processes) -> None:
        self._settings, self._processes = settings, processes
        self._flops = 0
        half = settings.precision == "bfloat16"
        dtype = torch.bfloat16 if half else network_dtype(settings.precision)
        self._peak = peak_rate(processes.device, dtype) if processes.is_first else 0.0
        self.restart(step)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Do a step inside; the first one's matrix products are counted."""
        if self._flops or self._settings.compile or not self._processes.is_first:
            yield
            return
        with MatrixFlops() as counter:
            yield
        self._flops = counter.total

    def restart(self, step: int) -> None:
        """Count from here, after something that is no training, such as a validation."""
        self._step, self._time = step, time.monotonic()
        self._processes.clock.take()

    def figures(self, step: int) -> dict[str, float]:
        """Figures since the last call or `restart`, by TensorBoard tag."""
        steps, seconds = step - self._step, time.monotonic() - self._time
        found = {
            "throughput/rows_per_second": steps * self._settings.batch_size / seconds,
            "step_time/whole": seconds / steps,
            "memory/peak_gigabytes": peak_bytes(self._processes.device) / 1e9,
        }
        if self._flops:
            found["throughput/peak_share"] = self._flops * steps / seconds / self._peak
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
