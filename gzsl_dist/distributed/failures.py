"""One line for a failed job, by the process that knows why, whichever it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from torch.distributed.distributed_c10d import Store

from gzsl_dist.errors import (
    GzslError,
    LostProcessError,
    OtherProcessError,
    PreemptedError,
    system_error,
)

T = TypeVar("T")

# What torch's collectives say when a peer has died or is silent.
LOST = ("Connection closed by peer", "Connection reset by peer", "Timed out", "Broken pipe")

FIRST_GOES_FIRST_S = 2.0
"""Where all meet the same error, the first process reports it; the others give it this long."""

LINGER_S = 3.0
"""How long the process that holds the store waits for others to look into it.

Less than `gzsl_dist.command.SILENT_SECONDS`: a launcher that sees one process end ends the others,
and this one must have reported its error by then.
"""

ANSWER_S = 3.0
"""How long the store may take to answer; its machine may have lost power."""


@contextmanager
def reported_once(store: Store, rank: int) -> Iterator[None]:
    """Let the process that fails first report it; the others end silently, with its exit code.

    A process that fails notes that in the store before its connections close: those that lose it
    find the note there. A process that only lost another one keeps nobody from reporting why.

    Raises:
        OtherProcessError, LostProcessError: another process reports why, or is gone without a note.
        Exception: what was raised inside, by the process that reports it.
    """
    try:
        yield
    except PreemptedError:  # all processes end at the same step, each with this code
        raise
    except OtherProcessError:
        _ask(lambda: store.add("failed", 1))
        raise
    except Exception as error:
        failure = _failure_of(error, rank)
        lost = isinstance(failure, LostProcessError)
        if rank and not lost and not (isinstance(failure, GzslError) and failure.speaks):
            _wait_for_the_first(store)
        code = failure.exit_code if isinstance(failure, GzslError) else 1
        first_rank, first_code = _claim(store, rank, code, lost=lost)
        if not isinstance(failure, GzslError):
            raise  # a fault of the program: with its traceback
        if first_rank != rank:
            other = OtherProcessError(f"process {first_rank} failed; its message says why")
            other.exit_code = first_code
            raise other from None
        failure.speaks = True
        raise failure from None


def linger(store: Store, world_size: int) -> None:
    """Keep the store alive until the others have failed too, and looked into it."""
    deadline = time.monotonic() + LINGER_S
    while time.monotonic() < deadline:
        if _ask(lambda: store.add("failed", 0)) in (None, world_size):
            return
        time.sleep(0.05)


def _ask(question: Callable[[], T]) -> T | None:
    """The store's answer; None where its process is gone, or does not answer."""
    answers: list[T] = []

    def ask() -> None:
        with suppress(RuntimeError):
            answers.append(question())

    thread = threading.Thread(target=ask, name="question to the store", daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    return answers[0] if answers else None


def _failure_of(error: Exception, rank: int) -> Exception:
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in LOST):
        return LostProcessError(
            f"process {rank}: another process of the job is gone or does not answer "
            f"({' '.join(str(error).split())[:160]}); the same command resumes"
        )
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):  # as of | head
        return system_error(error)
    return error


def _wait_for_the_first(store: Store) -> None:
    deadline = time.monotonic() + FIRST_GOES_FIRST_S
    while time.monotonic() < deadline:
        if _ask(lambda: store.check(["first failure"])) is not False:
            return
        time.sleep(0.05)


def _claim(store: Store, rank: int, code: int, *, lost: bool) -> tuple[int, int]:
    """Rank and exit code of the process that failed first."""

    def claim() -> bytes:
        loss = lost and not store.check(["first failure"])
        name = "first loss" if loss else "first failure"
        first = store.compare_set(name, "", f"{rank} {code}")
        store.add("failed", 1)
        return first

    first = _ask(claim)
    if first is None:
        return rank, code
    first_rank, first_code = first.decode().split()
    return int(first_rank), int(first_code)
