"""The processes of a job, and all that they do together."""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from gzsl_dist.distributed import launch_environment
from gzsl_dist.distributed.agreement import Finding, difference
from gzsl_dist.distributed.allotted_gpus import unused_gpus_warning
from gzsl_dist.distributed.collectives import gather_rows, gather_rows_with_gradient
from gzsl_dist.distributed.failures import linger, reported_once
from gzsl_dist.distributed.heartbeat import Heartbeat
from gzsl_dist.distributed.stopwatch import Stopwatch
from gzsl_dist.errors import (
    GzslError,
    InputError,
    LostProcessError,
    OtherProcessError,
    PreemptedError,
)  # fmt: skip

T = TypeVar("T")

APPEARANCE_LOOKS, APPEARANCE_PAUSE_S = 10, 0.3
"""How often, and seconds apart, a process looks for a file that another one has just made."""


@dataclass(frozen=True)
class DistributedContext:
    """This process among those of the job; with one process, nothing is communicated."""

    rank: int
    world_size: int
    device: torch.device
    clock: Stopwatch = field(default_factory=Stopwatch, compare=False)
    quiet: bool = False
    heartbeat: Heartbeat | None = field(default=None, compare=False)

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return self.rank == 0

    @property
    def shows_progress(self) -> bool:
        """Whether this process tells the user how far the job is."""
        return self.is_main_process and not self.quiet

    def shard_sizes(self, total: int) -> list[int]:
        """How many of `total` things each process takes: equal but for one."""
        share, rest = divmod(total, self.world_size)
        return [share + (rank < rest) for rank in range(self.world_size)]

    def shard(self, total: int) -> slice:
        """Which of `total` things this process takes; the shares partition ``range(total)``."""
        sizes = self.shard_sizes(total)
        first = sum(sizes[: self.rank])
        return slice(first, first + sizes[self.rank])

    def gather(self, rows: Tensor, sizes: list[int], *, gradient: bool = False) -> Tensor:
        """Rows of all processes in rank order; see `gzsl_dist.distributed.collectives`."""
        if self.world_size == 1:
            return rows
        with self.clock.part("communication"):
            return gather_rows_with_gradient(rows, sizes) if gradient else gather_rows(rows, sizes)

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Sum over processes, without gradient, in place."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def gather_objects(self, value: T) -> list[T]:
        """A small value of every process, by rank; what pickle can carry. All must call."""
        if self.world_size == 1:
            return [value]
        found: list[Any] = [None] * self.world_size
        dist.all_gather_object(found, value)
        return found

    def broadcast_from_rank0(self, values: Tensor) -> Tensor:
        """The first process's values on all of them, in place: one rounding for what decides."""
        if self.world_size > 1:
            dist.broadcast(values, src=0)
        return values

    def all_reduce_any(self, flag: bool) -> bool:
        """Whether the flag is up on any process."""
        if self.world_size == 1:
            return flag
        return bool(self.all_reduce_sum(torch.tensor(float(flag), device=self.device)).item() > 0)

    def run_on_all_ranks(self, action: Callable[[], T]) -> T:
        """Act on every process, however long (`Heartbeat`); where it fails on any, all fail.

        Raises:
            Exception: what the action raised; `OtherProcessError` where another process failed.
        """
        failure: Exception | None = None
        with self.heartbeat.beating() if self.heartbeat else nullcontext():
            try:
                result = action()
            except Exception as error:
                failure = error
            # The first process that failed speaks for the job, the others stay silent.
            first = self._minimum(self.world_size if failure is None else self.rank)
        if first == self.world_size:
            return result
        if failure is not None and first == self.rank:
            if isinstance(failure, GzslError):
                failure.speaks = True
                if self.rank > 0:  # the first process did not fail: what differs is where
                    failure.args = (f"process {self.rank} on {socket.gethostname()}: {failure}",)
            raise failure
        raise OtherProcessError(f"process {first} failed; its message says why")

    def _minimum(self, value: int) -> int:
        if self.heartbeat is not None:
            return self.heartbeat.minimum(value)
        lowest = torch.tensor(value, device=self.device)
        if self.world_size > 1:
            dist.all_reduce(lowest, dist.ReduceOp.MIN)
        return int(lowest)

    def run_on_rank0(self, action: Callable[[], T]) -> T:
        """Let the first process act, and give all of them its result; where it fails, all fail.

        The result must be what `torch.distributed.broadcast_object_list` can carry.
        """
        result = self.run_on_all_ranks(lambda: action() if self.rank == 0 else None)
        if self.world_size > 1:
            box = [result]
            dist.broadcast_object_list(box, src=0)
            result = box[0]
        return cast(T, result)

    def agree(self, found: Mapping[str, str], remedy: str) -> None:
        """See that all processes found the same, by names that users know; all must call.

        Raises:
            InputError: on every process; says which host sees what, and the remedy.
        """
        if self.world_size == 1:
            return
        own: Finding = (socket.gethostname(), dict(found))
        message = difference(self.gather_objects(own))
        if message is not None:
            raise InputError(f"{message}; {remedy}")

    def agree_on_folder(self, name: str, folder: Path) -> None:
        """See that a folder is the same one for all processes: a file of the first is seen by all.

        Raises:
            InputError: on every process; says which host sees it, and which does not.
        """
        if self.world_size == 1:
            return
        token = folder / self.run_on_rank0(lambda: _make_token(name, folder))
        try:
            seen = self.is_main_process or _appears(token)
            self.agree(
                {f"{name} {folder}": "the one of rank 0" if seen else "another one, or none,"},
                "name a folder on storage that all machines of the job share",
            )
        finally:
            if self.is_main_process:
                with suppress(OSError):
                    token.unlink()


def _make_token(name: str, folder: Path) -> str:
    token = folder / f".seen-by-all-{uuid.uuid4().hex[:12]}"
    try:
        token.touch()
    except OSError as error:
        raise InputError(
            f"{name} {folder}: cannot be written ({error.strerror}); choose another"
        ) from None
    return token.name


def _appears(path: Path) -> bool:
    """Whether a file that was just made is seen, some seconds late where a listing is cached."""
    for _ in range(APPEARANCE_LOOKS):
        if os.path.exists(path):
            return True
        time.sleep(APPEARANCE_PAUSE_S)
    return False


def collective_backend(device: torch.device) -> str:
    """What carries tensors of a device between processes."""
    return "nccl" if device.type == "cuda" else "gloo"


def device_type(device: str) -> str:
    """``cuda`` or ``cpu``, of a `train.device` that may be ``auto``."""
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


@contextmanager
def start_processes(
    device: str = "auto", timeout: int = 300, *, quiet: bool = False
) -> Iterator[DistributedContext]:
    """Join the job that torchrun, srun or nothing started, and leave it at the end.

    Args:
        device: ``auto`` (a GPU for each process if there is one), ``cpu`` or ``cuda``. With
            ``auto``, the first process warns where the job has GPUs that torch cannot use.
        timeout: seconds that processes wait for each other.
        quiet: tell no progress.

    Raises:
        InputError: CUDA is asked for and absent, a launcher's variables are incomplete, or the
            processes cannot meet.
        LostProcessError: another process is gone, or does not answer.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device cuda: no CUDA device is visible; give --train.device cpu, or to extract "
            "--device cpu"
        )
    uses_gpu = device_type(device) == "cuda"
    launch_environment.check(torch.cuda.device_count() if uses_gpu else 0)
    world_size, rank = launch_environment.world_size(), launch_environment.rank()
    if uses_gpu:
        chosen = torch.device("cuda", launch_environment.local_rank() % torch.cuda.device_count())
        torch.cuda.set_device(chosen)
    else:
        chosen = torch.device("cpu")
        if device == "auto" and rank == 0 and (warning := unused_gpus_warning()):
            print(warning, file=sys.stderr, flush=True)
    if world_size == 1:
        yield DistributedContext(0, 1, chosen, quiet=quiet)
        return
    launch_environment.name_meeting_point()
    try:
        store, *_ = next(rendezvous("env://", rank, world_size, timeout=timedelta(seconds=timeout)))
        # After a restart, torchrun's store still holds the addresses of the dead processes.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"attempt {attempt}", store)
        dist.init_process_group(
            collective_backend(chosen), timeout=timedelta(seconds=timeout),
            store=store, rank=rank, world_size=world_size,
        )  # fmt: skip
        heartbeat = Heartbeat(store, rank, world_size, timeout)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{world_size} processes cannot meet ({' '.join(str(error).split())}); start them with "
            "torchrun, or set MASTER_ADDR and MASTER_PORT"
        ) from None
    others_look = False
    try:
        with reported_once(store, rank):
            yield DistributedContext(rank, world_size, chosen, quiet=quiet, heartbeat=heartbeat)
    except Exception as error:
        # Who waits for one that is gone may be ended by the launcher before it has said so.
        others_look = not isinstance(error, (LostProcessError, PreemptedError))
        raise
    finally:
        dist.destroy_process_group()
        if others_look and rank == 0:
            linger(store, world_size)
