"""What a person sees during a run: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gzsl_dist.distributed.log import duration, log_rank0
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.monitoring.callback import LoopCallback, Training

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BEFORE_FORECAST = 3.0


class StepProgress:
    """Steps done, of which an earlier start did the first, rate, time left and the latest numbers.

    Only the first process shows it.
    """

    def __init__(
        self,
        title: str,
        steps: int,
        done: int,
        processes: DistributedContext,
        *,
        unit: str = "step",
    ) -> None:
        self.title, self.steps, self.first_step, self.unit = title, steps, done, unit
        self._processes, self._quiet = processes, not processes.shows_progress
        self._started = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        if not self._quiet and sys.stdout.isatty():
            self._bar = Progress(
                TextColumn(title),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[rate]}"),
                TextColumn("{task.fields[latest]}"),
                console=Console(),
            )
            self._task = self._bar.add_task(title, total=steps, completed=done, rate="", latest="")

    def advance(self, step: int, latest: Mapping[str, float]) -> None:
        """Show that `step` steps are done; `latest` is the last logged line."""
        if self._quiet:
            return
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in _shown(latest).items())
        now = time.monotonic()
        rate = (step - self.first_step) / max(now - self._started, 1e-9)
        if self._bar is not None:
            shown = f"{rate:.2f} {self.unit}s/s"
            self._bar.update(self._task, completed=step, rate=shown, latest=numbers)
            return
        if now - self._last_line < SECONDS_BETWEEN_LINES and step < self.steps:
            return
        self._last_line = now
        left = (self.steps - step) / max(rate, 1e-9)
        log_rank0(
            self._processes,
            f"{self.title}: {self.unit} {step}/{self.steps}, {rate:.2f} {self.unit}s/s, "
            f"{duration(left)} left  {numbers}",
        )

    def __enter__(self) -> StepProgress:
        """Use as a context manager: the bar is drawn inside."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()


class TrainingProgress(LoopCallback):
    """`StepProgress` of a training, and once how long the run will take.

    Args:
        processes: the job.
        later: steps of the trainings that follow in the run; with 0 that is not told.
    """

    def __init__(self, processes: DistributedContext, later: int = 0) -> None:
        self._processes, self._later = processes, later
        self._first: tuple[int, float] | None = None  # the first step is slower than others

    def start(self, training: Training) -> None:
        """Show it from here."""
        shown = StepProgress(training.title, training.steps, training.done, self._processes)
        self._shown = shown.__enter__()

    def advance(self, step: int, figures: Mapping[str, float]) -> None:
        """Show the step."""
        self._shown.advance(step, figures)
        now = time.monotonic()
        first, began = self._first = self._first or (step, now)
        if self._later and now - began > SECONDS_BEFORE_FORECAST:
            left = (now - began) / (step - first) * (self._shown.steps - step + self._later)
            log_rank0(
                self._processes,
                f"{self._shown.title}: about {duration(left)} for the steps of all trainings, "
                "at this rate; evaluations come on top",
            )
            self._later = 0

    def end(self, error: BaseException | None) -> None:
        """Leave the bar as it is."""
        self._shown.__exit__(None, None, None)


def _shown(latest: Mapping[str, float]) -> dict[str, float]:
    names = {
        "critic/total_loss": "critic",
        "generator/total_loss": "generator",
        "validation/H": "validation H",  # in percent, as in every table
    }
    return {
        short: latest[name] * (100 if name == "validation/H" else 1)
        for name, short in names.items()
        if name in latest
    }
