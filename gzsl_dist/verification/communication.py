"""Time of the collectives of a step, at the configured sizes."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from gzsl_dist.config import Config
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.verification.report import Check, gather_objects

REPEATS = 5


def check_communication(config: Config, gradients: int, processes: Processes) -> list[Check]:
    """Gather a batch of projected rows and sum gradients; what arrives must be right.

    Args:
        config: batch size and width.
        gradients: number of values that a critic step sums over processes.
        processes: the job.
    """
    if processes.world_size == 1:
        return [Check("collectives", True, "one process, nothing to communicate")]
    batch, width = config.train.batch_size, config.model.projection_dim
    sizes = processes.sizes(batch)
    own = torch.full((sizes[processes.rank], width), float(processes.rank), device=processes.device)
    expected = torch.repeat_interleave(
        torch.arange(processes.world_size), torch.tensor(sizes)
    ).float()
    gathered = processes.gather(own, sizes)
    total = processes.add(torch.ones(gradients, device=processes.device))
    gathered_right = bool((gathered.cpu() == expected[:, None]).all())
    summed_right = bool((total == processes.world_size).all())
    checks = []
    for name, size, correct, action in (
        ("gather", batch * width, gathered_right, lambda: processes.gather(own, sizes)),
        ("all_reduce", gradients, summed_right, lambda: processes.add(total.zero_())),
    ):
        seconds = max(gather_objects(processes, _seconds(action, processes.device)))
        correct = all(gather_objects(processes, correct))
        checks.append(
            Check(
                name,
                correct,
                f"{1000 * seconds:.2f} ms for {4 * size / 2**20:.2f} MiB"
                + ("" if correct else ", wrong values"),
                "collectives deliver wrong values: check the network's driver and the backend",
            )
        )
    return checks


def _seconds(action: Callable[[], object], device: torch.device) -> float:
    started = time.monotonic()
    for _ in range(REPEATS):
        action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.monotonic() - started) / REPEATS
