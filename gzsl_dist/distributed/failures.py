"""One line for a failed job, by the process that knows why, whichever it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from torch.distributed.distributed_c10d import Store

from gzsl_dist.errors import (
    GzslError,
    InputError,
    LostProcessError,
    OtherProcessError,
    PreemptedError,
)

# What torch's collectives say when a peer has died or is silent.
LOST = ("Connection closed by peer", "Connection reset by peer", "Timed out", "Broken pipe")

FIRST_GOES_FIRST_S = 2.0
"""Where all meet the same error, the first process reports it; the others give it this long."""

LINGER_S = 5.0
"""How long the process that holds the store waits for others to look into it."""


@contextmanager
def reported_once(store: Store, rank: int) -> Iterator[None]:
    """Let the process that fails first report it; the others end silently, with its exit code.

    A process that fails says so in the store before its connections close: those that lose it
    find its word there.

    Raises:
        OtherProcessError: another process reports why.
        LostProcessError: another process is gone, and said nothing.
        Exception: what was raised inside, by the process that reports it.
    """
    try:
        yield
    except (OtherProcessError, PreemptedError):  # all processes end together, each with its code
        _count(store)
        raise
    except Exception as error:
        failure = _failure_of(error, rank)
        code = failure.exit_code if isinstance(failure, GzslError) else 1
        if rank and not isinstance(failure, LostProcessError) and not _speaks(failure):
            _wait_for_the_first(store)
        first_rank, first_code = _claim(store, rank, code)
        if not isinstance(failure, GzslError):
            raise  # a fault of the program: with its traceback
        if first_rank != rank and not (failure.speaks and isinstance(failure, InputError)):
            other = OtherProcessError(f"process {first_rank} failed; its message says why")
            other.exit_code = first_code
            raise other from None
        failure.speaks = True
        raise failure from None


def linger(store: Store, world_size: int) -> None:
    """Keep the store alive until the others have failed too, and looked into it."""
    deadline = time.monotonic() + LINGER_S
    with suppress(RuntimeError):
        while store.add("failed", 0) < world_size and time.monotonic() < deadline:
            time.sleep(0.05)


def _count(store: Store) -> None:
    with suppress(RuntimeError):  # the store's process is gone
        store.add("failed", 1)


def _speaks(failure: Exception) -> bool:
    return isinstance(failure, GzslError) and failure.speaks


def _failure_of(error: Exception, rank: int) -> Exception:
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in LOST):
        return LostProcessError(
            f"process {rank}: another process of the job is gone or does not answer "
            f"({' '.join(str(error).split())[:160]}); the same command resumes"
        )
    if isinstance(error, OSError):  # a disk that is full, a folder without permission
        return InputError(f"{error.filename or 'file'}: {error.strerror or error}")
    return error


def _wait_for_the_first(store: Store) -> None:
    deadline = time.monotonic() + FIRST_GOES_FIRST_S
    with suppress(RuntimeError):
        while not store.check(["first failure"]) and time.monotonic() < deadline:
            time.sleep(0.05)


def _claim(store: Store, rank: int, code: int) -> tuple[int, int]:
    """Rank and exit code of the process that failed first."""
    try:
        first = store.compare_set("first failure", "", f"{rank} {code}").decode().split()
        store.add("failed", 1)
        return int(first[0]), int(first[1])
    except RuntimeError:  # the store's process is gone
        return rank, code
