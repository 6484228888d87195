"""How fast the job trains, where the time of a step goes, and what it needs."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from gzsl_dist.config import TrainSettings
from gzsl_dist.distributed.checkpoint import SavedState
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.models.networks import Networks
from gzsl_dist.models.precision import network_dtype
from gzsl_dist.monitoring.callback import LoopCallback, Training
from gzsl_dist.monitoring.matrix_products import MatrixFlops, peak_rate


class Throughput(LoopCallback):
    """Figures between two logged steps.

    Rows a second are the job's: rows of the global batch by whole steps. The parts of a step and
    memory are the first process's; ``communication`` is time that it waits for gathered rows, and
    lies within forward. On a GPU parts are the time until work is queued.

    ``peak_share`` is the speed of the step's matrix products, all of its time counted, as a part
    of the speed of one large matrix product in the same precision, measured at the start.
    """

    def __init__(self, settings: TrainSettings, processes: DistributedContext) -> None:
        self._settings, self._processes = settings, processes
        self._flops, self._interrupted = 0, False

    def start(self, training: Training) -> None:
        """Measure the speed of a large matrix product."""
        half = self._settings.precision == "bfloat16"
        dtype = torch.bfloat16 if half else network_dtype(self._settings.precision)
        first = self._processes.is_main_process
        self._peak = peak_rate(self._processes.device, dtype) if first else 0.0
        self._restart(training.done)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Do a step inside; the first one's matrix products are counted."""
        if self._flops or self._settings.compile or not self._processes.is_main_process:
            yield
            return
        with MatrixFlops() as counter:
            yield
        self._flops = counter.total

    def _restart(self, step: int) -> None:
        self._step, self._time = step, time.monotonic()
        self._processes.clock.take()

    def evaluated(
        self, step: int, networks: Networks, scored: ScoredProblem | None
    ) -> Mapping[str, float]:
        """Time that goes here is no training."""
        self._interrupted = True
        return {}

    def save(self, state: SavedState) -> None:
        """Time that goes here is no training."""
        self._interrupted = True

    def advance(self, step: int, figures: Mapping[str, float]) -> None:
        """Count from here, if there was something else than training."""
        if self._interrupted:
            self._restart(step)
            self._interrupted = False

    def metrics(self, step: int) -> dict[str, float]:
        """Figures of the training since the last call, by TensorBoard tag."""
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
        self._restart(step)
        return found


def peak_bytes(device: torch.device | None = None) -> int:
    """The most that this process has held: of the GPU's memory, or resident in the machine's."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:  # of this program alone; getrusage counts what it was forked from as well
        return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
