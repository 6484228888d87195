"""The processes of a job, and all that they do together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from gzsl_dist.distributed import launch_environment
from gzsl_dist.distributed.collectives import gather_rows, gather_rows_with_gradient
from gzsl_dist.errors import GzslError, InputError


@dataclass(frozen=True)
class Processes:
    """This process among those of the job; with one process, nothing is communicated."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return self.rank == 0

    def sizes(self, total: int) -> list[int]:
        """How many of `total` things each process takes: equal but for one."""
        share, rest = divmod(total, self.world_size)
        return [share + (rank < rest) for rank in range(self.world_size)]

    def share(self, total: int) -> slice:
        """Which of `total` things this process takes; the shares partition ``range(total)``."""
        sizes = self.sizes(total)
        first = sum(sizes[: self.rank])
        return slice(first, first + sizes[self.rank])

    def gather(self, rows: Tensor, sizes: list[int], *, gradient: bool = False) -> Tensor:
        """Rows of all processes in rank order; see `gzsl_dist.distributed.collectives`."""
        if self.world_size == 1:
            return rows
        return gather_rows_with_gradient(rows, sizes) if gradient else gather_rows(rows, sizes)

    def add(self, values: Tensor) -> Tensor:
        """Sum over processes, without gradient, in place."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on any process."""
        if self.world_size == 1:
            return flag
        return bool(self.add(torch.tensor(float(flag), device=self.device)).item() > 0)

    def once(self, action: Callable[[], object]) -> None:
        """Let the first process act, the others wait; where it fails, all of them fail.

        Raises:
            GzslError: what the action raised; on the other processes, that the first one failed.
        """
        failure: GzslError | None = None
        if self.rank == 0:
            try:
                action()
            except GzslError as error:
                failure = error
        failed = self.any(failure is not None)
        if failure is not None:
            raise failure
        if failed:
            raise InputError("the first process failed; its message says why")


@contextmanager
def start_processes(device: str = "auto") -> Iterator[Processes]:
    """Join the job that torchrun, srun or nothing started, and leave it at the end.

    Args:
        device: ``auto`` (a GPU for each process if there is one), ``cpu`` or ``cuda``.

    Raises:
        InputError: CUDA is asked for and absent.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("train.device: no CUDA device is visible; use --train.device cpu")
    world_size, rank = launch_environment.world_size(), launch_environment.rank()
    if device != "cpu" and torch.cuda.is_available():
        chosen = torch.device("cuda", launch_environment.local_rank() % torch.cuda.device_count())
        torch.cuda.set_device(chosen)
    else:
        chosen = torch.device("cpu")
    if world_size == 1:
        yield Processes(0, 1, chosen)
        return
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=world_size)
    try:
        yield Processes(rank, world_size, chosen)
    finally:
        dist.destroy_process_group()
