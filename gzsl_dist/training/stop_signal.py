"""Stopping on request: `train.stop_signals` end a run after its step, with a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


class StopSignal:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self.name: str | None = None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name


@contextmanager
def stop_signal(names: Sequence[str]) -> Iterator[StopSignal]:
    """Note the signals of these names inside the context instead of dying of them."""
    stop = StopSignal()
    numbers = [signal.Signals[name] for name in names]
    before = {number: signal.signal(number, stop._receive) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
