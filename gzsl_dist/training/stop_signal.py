"""Stopping on request: `train.stop_signals` and Ctrl-C end a run after its step, and save."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


class StopSignal:
    """Whether this process was asked to stop.

    Ctrl-C (SIGINT) is noted while training steps run, which lose work when they are cut off;
    elsewhere it raises `KeyboardInterrupt` at once. A second one kills the process.

    Attributes:
        name: of the signal; None: none came.
        steps: training steps that this start of the run has done, whatever the training.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.steps = 0
        self._in_steps = False

    @property
    def interrupted(self) -> bool:
        """Whether it was Ctrl-C: a person, not a scheduler that may start the job again."""
        return self.name == "SIGINT"

    @contextmanager
    def in_steps(self) -> Iterator[None]:
        """Inside, Ctrl-C waits until the loop looks at `name`.

        Raises:
            KeyboardInterrupt: at the end, where the loop has ended without reading `name` again.
        """
        self._in_steps = True
        try:
            yield
        finally:
            self._in_steps = False
        if self.interrupted:
            raise KeyboardInterrupt

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        self._receive(number, frame)
        if not self._in_steps:
            raise KeyboardInterrupt


@contextmanager
def stop_signal(names: Sequence[str]) -> Iterator[StopSignal]:
    """Note the signals of these names, and SIGINT, inside the context instead of dying of them.

    SIGINT that the parent ignores, as a shell does for what it starts in the background, stays
    ignored, unless it is among the names.
    """
    stop = StopSignal()
    handlers = {signal.Signals[name]: stop._receive for name in names}
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN or signal.SIGINT in handlers:
        handlers[signal.SIGINT] = stop._interrupt
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
