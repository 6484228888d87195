"""What follows a training: one small protocol, of the loop's own extras and of a user's class."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gzsl_dist.distributed.checkpoint import SavedState
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.models.networks import Networks


@dataclass(frozen=True)
class Training:
    """What is being trained.

    Attributes:
        title: ``selection``, ``selection 1/3`` or ``training``.
        directory: where its metrics.jsonl and checkpoints are; None in memory.
        settings: all of them, by dotted name.
        steps: generator steps in all.
        done: those that an earlier start did.
    """

    title: str
    directory: Path | None
    settings: Mapping[str, Any]
    steps: int
    done: int


class Callback:
    """Override what is needed; all methods are called by the first process of a job alone.

    Each training of a run (of selection, and the last one) has an instance of its own, made
    without arguments. What a method raises ends the run.
    """

    def start(self, training: Training) -> None:
        """A training begins or resumes."""

    def measure(self, step: int, scored: ScoredProblem) -> Mapping[str, float]:
        """What a line of metrics.jsonl and TensorBoard also hold, of validation rows."""
        return {}

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """After `step` steps, a line of metrics.jsonl; tags as in docs/monitoring.md."""

    def saved(self, step: int, checkpoint: Path) -> None:
        """A checkpoint of `step` steps is whole on the disk."""

    def end(self, error: BaseException | None) -> None:
        """The training has ended, with None, or by an error or a signal to stop."""


class LoopCallback(Callback):
    """One of the loop's own: called by every process, and at more events, in the order below."""

    def step(self) -> AbstractContextManager[None]:
        """A training step is done inside."""
        return nullcontext()

    def metrics(self, step: int) -> Mapping[str, float]:
        """What a step that is logged adds to its line, before anything is evaluated."""
        return {}

    def evaluated(
        self, step: int, networks: Networks, scored: ScoredProblem | None
    ) -> Mapping[str, float]:
        """What an evaluation adds to the line, of whole networks; `scored` in selection only."""
        return {}

    def save(self, state: SavedState) -> Path | None:
        """Keep what a resumed training needs; a checkpoint if this makes one."""
        return None

    def advance(self, step: int, figures: Mapping[str, float]) -> None:
        """A step is over, with its logging and saving; `figures` are the last logged ones."""
