"""Stopping on request: `train.stop_signals` and Ctrl-C end a run after its step, and save."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from gzsl_dist.distributed.launch_environment import is_reporting_process


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
        name = signal.Signals(number).name
        if self.name is None:
            again = "; once more ends it at once" if number == signal.SIGINT else ""
            when = "after this step" if self._in_steps else "at the next training step"
            _acknowledge(f"{name}: stopping {when}, with a checkpoint{again}")
        self.name = name

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if not self._in_steps:
            self.name = signal.Signals(number).name
            raise KeyboardInterrupt
        self._receive(number, frame)


def _acknowledge(text: str) -> None:
    """Print a line, once for the job: a step may take minutes, and a person should not wait."""
    if is_reporting_process():
        start = "\n" if sys.stdout.isatty() else time.strftime("%H:%M:%S ")  # below a bar
        # print may have been what the signal interrupted, and cannot be entered twice
        with suppress(OSError):
            os.write(1, f"{start}{text}\n".encode())


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
