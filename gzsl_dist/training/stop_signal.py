"""Stopping on request: SIGTERM and SIGUSR1 end a run after its step, with a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopSignal:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self.name: str | None = None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name


@contextmanager
def stop_signal() -> Iterator[StopSignal]:
    """Note the signals inside the context instead of dying of them."""
    stop = StopSignal()
    before = {number: signal.signal(number, stop._receive) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
