"""Code of a user's own that follows a training: `train.callbacks`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from gzsl_dist.distributed.processes import Processes
from gzsl_dist.errors import InputError


@dataclass(frozen=True)
class Training:
    """What is being trained.

    Attributes:
        title: ``selection``, ``selection 1/3`` or ``training``.
        directory: where its metrics.jsonl and checkpoints are.
        settings: all of them, by dotted name.
        steps: generator steps in all.
        done: those that an earlier start did.
    """

    title: str
    directory: Path
    settings: Mapping[str, Any]
    steps: int
    done: int


class Callback:
    """Override what is needed; all methods are called by the first process of a job alone.

    Each training of a run (of selection, and the last one) has an instance of its own, made
    without arguments. What a method raises ends the run.
    """

    def start(self, training: Training) -> None:
        """A training begins or goes on."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """After `step` steps, a line of metrics.jsonl; tags as in docs/monitoring.md."""

    def saved(self, step: int, checkpoint: Path) -> None:
        """A checkpoint of `step` steps is whole on the disk."""

    def end(self, error: BaseException | None) -> None:
        """The training has ended, with None, or by an error or a signal to stop."""


class Callbacks:
    """All callbacks of a training; a context manager, inside which the training goes on.

    Args:
        names: see `load_callbacks`.
        processes: the job; a failure of a callback fails all of them.
        training: what they follow.
    """

    def __init__(self, names: Sequence[str], processes: Processes, training: Training) -> None:
        self._processes, self._training = processes, training
        self._any = bool(names)
        self._mine: list[Callback] = []
        if self._any:
            self._mine = processes.together(
                lambda: load_callbacks(names) if processes.is_first else []
            )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Callback.log`; every process must call."""
        self._tell(lambda each: each.log(step, dict(figures)))

    def saved(self, step: int, checkpoint: Path) -> None:
        """See `Callback.saved`; every process must call."""
        self._tell(lambda each: each.saved(step, checkpoint))

    def _tell(self, action: Callable[[Callback], None]) -> None:
        def act() -> None:
            for each in self._mine:
                action(each)

        if self._any:
            self._processes.together(act)

    def __enter__(self) -> Callbacks:
        """Tell that the training begins."""
        self._tell(lambda each: each.start(self._training))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tell that it has ended; no process waits for another here, for some may be gone."""
        for each in self._mine:
            try:
                each.end(error)
            except Exception:
                if error is None:  # else why the training ended is what the user must see
                    raise


def load_callbacks(names: Sequence[str]) -> list[Callback]:
    """An instance of each class.

    Args:
        names: as ``package.module.Class``; modules beside the current directory count where
            Python was started with ``-m``.

    Raises:
        InputError: one cannot be imported, or is no `Callback`.
    """
    found = []
    for name in names:
        module, _, attribute = name.rpartition(".")
        try:
            made = getattr(importlib.import_module(module), attribute)()
        except Exception as error:  # whatever importing a user's code raises
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"train.callbacks {name}: cannot be loaded ({reason}); name a class that can be "
                "imported, as package.module.Class"
            ) from error
        if not isinstance(made, Callback):
            raise InputError(
                f"train.callbacks {name}: is no subclass of gzsl_dist.training.callbacks.Callback"
            )
        found.append(made)
    return found
