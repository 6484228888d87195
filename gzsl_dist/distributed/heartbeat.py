"""Waiting for processes that work, however long, and not for one that is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import Store

from gzsl_dist.errors import LostProcessError

LONGEST_WAIT = timedelta(days=7)
"""Time-out of the group, which heartbeats make superfluous."""
FIRST_POLL_S, LAST_POLL_S = 0.0005, 0.05
"""Seconds between two looks at whether a wait is over, short at first."""

_abandoned: list[dist.Work | dist.ProcessGroup] = []
"""What a wait that was given up still uses: freeing it would block for as long as the wait."""


class Heartbeat:
    """A minimum over processes that waits as long as all of them are alive.

    A collective's time-out cannot tell a process that writes a large checkpoint from one whose
    machine has lost power. Here every process that acts or waits counts up a number in the job's
    store from a thread, and those that wait look whether the numbers of all others grow: one that
    does not count for `timeout` seconds is given up. A process that has died is noticed at once, by
    its closed connections.
    """

    def __init__(self, store: Store, rank: int, world_size: int, timeout: float) -> None:
        self._store, self._rank, self._timeout = store, rank, timeout
        self._others = [other for other in range(world_size) if other != rank]
        self._group = dist.new_group(backend="gloo", timeout=LONGEST_WAIT)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Let the others know that this process is alive for as long as the block takes."""
        over = threading.Event()

        def beat() -> None:
            try:
                while not over.wait(min(self._timeout / 10, 10.0)):
                    self._store.add(f"heartbeat {self._rank}", 1)
            except RuntimeError:
                pass  # the store has gone with the job; whoever waits notices it in its own poll

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def minimum(self, value: int) -> int:
        """The lowest value of all processes; all must call, each while `beating`.

        Raises:
            LostProcessError: a process neither calls nor beats.
            RuntimeError: a process has died.
        """
        box = torch.tensor(value)
        work = dist.all_reduce(box, dist.ReduceOp.MIN, group=self._group, async_op=True)
        assert work is not None
        counted, poll = dict.fromkeys(self._others, -1), FIRST_POLL_S
        grown = dict.fromkeys(self._others, time.monotonic())
        looked = time.monotonic()
        while not work.is_completed():
            time.sleep(poll)
            poll = min(2 * poll, LAST_POLL_S)
            if time.monotonic() - looked < self._timeout / 4:
                continue
            looked = time.monotonic()
            for other, before in counted.items():
                count = self._count(other)
                if count != before:
                    counted[other], grown[other] = count, looked
                elif looked - grown[other] > self._timeout:
                    _abandoned.extend([work, self._group])
                    raise LostProcessError(
                        f"process {self._rank}: process {other} does not answer for "
                        f"{self._timeout:g} s; the same command resumes"
                    )
        work.wait()
        return int(box)

    def _count(self, other: int) -> int:
        try:
            return int(self._store.add(f"heartbeat {other}", 0))
        except RuntimeError as error:
            _abandoned.append(self._group)
            raise LostProcessError(
                f"process {self._rank}: the job's store does not answer "
                f"({' '.join(str(error).split())[:160]}); the same command resumes"
            ) from None
