"""metrics.jsonl and TensorBoard: what a run did, step by step."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from gzsl_dist.config import Config
from gzsl_dist.data.problem import Problem
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.evaluation.selection import validation_figures
from gzsl_dist.files import atomic_write
from gzsl_dist.models.networks import Networks
from gzsl_dist.monitoring.board import LAYOUT, draw, show_diagnostics, show_projector, show_scores
from gzsl_dist.monitoring.diagnostics import Diagnostics, diagnose
from gzsl_dist.run.files import TrainingFiles
from gzsl_dist.run.metrics import read_metrics


class Logbook:
    """Appends logged steps after `step`, where later lines of an interrupted run are dropped.

    Only the first process of a job writes.
    """

    def __init__(self, directory: Path, processes: Processes, step: int) -> None:
        self._directory, self._processes = directory, processes
        self._hook = threading.excepthook
        processes.once(lambda: self._open(directory, step))

    def _open(self, directory: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        files = TrainingFiles(directory)
        path = files.metrics
        try:
            kept = [line for line in read_metrics(path) if line["step"] <= step]
            atomic_write(path, "".join(json.dumps(line) + "\n" for line in kept))
            self._file = path.open("a", encoding="utf-8")
            self._board = SummaryWriter(str(files.tensorboard), purge_step=step + 1)
            self._board.add_custom_scalars(LAYOUT)
        except OSError as error:
            raise _unwritable(directory, error) from None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the numbers of a step; every process must call.

        Raises:
            InputError: the disk is full, say.
        """
        self._processes.together(lambda: self._write(step, values))

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        if not self._processes.is_first:
            return
        try:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        except OSError as error:
            raise _unwritable(self._directory, error) from None

    def sync(self) -> None:
        """Bring all lines to the disk: a checkpoint must not outlive its step's; all must call.

        Raises:
            InputError: the disk is full, say.
        """

        def fsync() -> None:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise _unwritable(self._directory, error) from None

        self._processes.once(fsync)

    def look(
        self,
        step: int,
        networks: Networks,
        problem: Problem,
        config: Config,
        scored: ScoredProblem | None,
    ) -> dict[str, float]:
        """Show what networks with whole weights do, in histograms and pictures; all must call.

        Without scored rows of validation classes, in the training that is measured on test rows,
        the real rows of unseen classes are not looked at.

        Returns:
            Figures for this step's line; more of them on the first process.
        """

        def look() -> tuple[dict[str, float], Diagnostics]:
            figures = {} if scored is None else validation_figures([scored], config.evaluation)
            if not self._processes.is_first:
                return figures, Diagnostics()
            return figures, diagnose(networks, problem, config, unseen=scored is not None)

        def pictures() -> None:
            show_diagnostics(self._board, step, found)
            if scored is not None:
                show_scores(self._board, step, scored.seen, scored.unseen, problem.names)
            if step == config.train.steps:
                show_projector(self._board, step, found, problem.names)

        figures, found = self._processes.together(look)
        draw(pictures, self._processes)
        return figures | found.scalars

    def __enter__(self) -> Logbook:
        """Use as a context manager: closes the files at the end."""
        threading.excepthook = self._failed
        return self

    def _failed(self, failure: threading.ExceptHookArgs) -> None:
        """Leave a failure of TensorBoard's thread to the next write, which tells it in one line."""
        if not type(failure.thread).__module__.startswith("tensorboard."):
            self._hook(failure)

    def __exit__(self, kind: object, *error: object) -> None:
        """Close the files."""
        try:
            if self._processes.is_first:
                self._close(told=kind is not None)
        finally:
            threading.excepthook = self._hook

    def _close(self, *, told: bool) -> None:
        for part in (self._file, self._board):
            try:
                part.close()
            except OSError as failure:
                if not told:
                    raise _unwritable(self._directory, failure) from None


def _unwritable(directory: Path, error: OSError) -> InputError:
    return InputError(
        f"{directory}: metrics.jsonl or tensorboard cannot be written ({error.strerror or error}); "
        "make room and start the same command again"
    )
