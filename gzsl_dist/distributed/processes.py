"""The processes of a job, and all that they do together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from gzsl_dist.distributed import launch_environment
from gzsl_dist.distributed.collectives import gather_rows, gather_rows_with_gradient
from gzsl_dist.errors import GzslError, InputError, LostProcessError, OtherProcessError
from gzsl_dist.stopwatch import Stopwatch

T = TypeVar("T")

A_DAY = 24 * 3600
"""Time-out for writers of a bank: they meet at the end only, and one may have more to write; a dead
one is noticed at once."""

# What torch's collectives say when a peer has died or is silent.
LOST = ("Connection closed by peer", "Connection reset by peer", "Timed out", "Broken pipe")


@dataclass(frozen=True)
class Processes:
    """This process among those of the job; with one process, nothing is communicated."""

    rank: int
    world_size: int
    device: torch.device
    clock: Stopwatch = field(default_factory=Stopwatch, compare=False)
    quiet: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return self.rank == 0

    @property
    def tells_progress(self) -> bool:
        """Whether this process tells the user how far the job is."""
        return self.is_first and not self.quiet

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
        with self.clock.part("communication"):
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

    def together(self, action: Callable[[], T]) -> T:
        """Act on every process; where it fails on any, all of them fail.

        Raises:
            Exception: what the action raised; `OtherProcessError` where another process failed.
        """
        failure: Exception | None = None
        try:
            result = action()
        except Exception as error:
            failure = error
        # The first process that failed speaks for the job, the others stay silent.
        first = torch.tensor(self.world_size if failure is None else self.rank, device=self.device)
        if self.world_size > 1:
            dist.all_reduce(first, dist.ReduceOp.MIN)
        if int(first) == self.world_size:
            return result
        if failure is not None and int(first) == self.rank:
            if isinstance(failure, GzslError):
                failure.speaks = True
            raise failure
        raise OtherProcessError(f"process {int(first)} failed; its message says why")

    def once(self, action: Callable[[], T]) -> T:
        """Let the first process act, and give all of them its result; where it fails, all fail.

        The result must be what `torch.distributed.broadcast_object_list` can carry.

        Raises:
            Exception: as in `together`.
        """
        result = self.together(lambda: action() if self.rank == 0 else None)
        if self.world_size > 1:
            box = [result]
            dist.broadcast_object_list(box, src=0)
            result = box[0]
        return cast(T, result)


@contextmanager
def start_processes(
    device: str = "auto", timeout: int = 300, *, quiet: bool = False
) -> Iterator[Processes]:
    """Join the job that torchrun, srun or nothing started, and leave it at the end.

    Args:
        device: ``auto`` (a GPU for each process if there is one), ``cpu`` or ``cuda``.
        timeout: seconds that processes wait for each other.
        quiet: tell no progress.

    Raises:
        InputError: CUDA is asked for and absent, or the processes cannot meet.
        LostProcessError: another process is gone, or does not answer.
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
        yield Processes(0, 1, chosen, quiet=quiet)
        return
    launch_environment.name_meeting_point()
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    try:
        store, *_ = next(rendezvous("env://", rank, world_size, timeout=timedelta(seconds=timeout)))
        # After a restart, torchrun's store still holds the addresses of the dead processes.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        dist.init_process_group(
            backend,
            store=PrefixStore(f"attempt {attempt}", store),
            rank=rank,
            world_size=world_size,
            timeout=timedelta(seconds=timeout),
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{world_size} processes cannot meet ({' '.join(str(error).split())}); start them with "
            "torchrun, or set MASTER_ADDR and MASTER_PORT"
        ) from None
    try:
        yield Processes(rank, world_size, chosen, quiet=quiet)
    except RuntimeError as error:
        text = str(error)
        if not any(sign in text for sign in LOST):
            raise
        raise LostProcessError(
            f"process {rank}: another process of the job is gone or does not answer "
            f"({' '.join(text.split())[:160]}); the same command resumes"
        ) from None
    finally:
        dist.destroy_process_group()
