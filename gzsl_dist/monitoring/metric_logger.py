"""metrics.jsonl and TensorBoard: what a run did, step by step."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping

from gzsl_dist.data.problem import Problem
from gzsl_dist.distributed.checkpoint import SavedState
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.files import atomic_write
from gzsl_dist.models.networks import Networks
from gzsl_dist.monitoring.board import (
    draw,
    layout,
    show_histograms,
    show_projection,
    show_projector,
    show_scores,
)
from gzsl_dist.monitoring.callback import LoopCallback, Training
from gzsl_dist.monitoring.diagnostics import Diagnostics, diagnose
from gzsl_dist.run.files import TrainingFiles
from gzsl_dist.run.metrics import read_metrics


class MetricLogger(LoopCallback):
    """Appends logged steps; only the first process of a job writes.

    Later lines of an interrupted start than where the training resumes are dropped.
    """

    def __init__(self, processes: DistributedContext) -> None:
        self._processes = processes

    def start(self, training: Training) -> None:
        """Open the files in the training's directory.

        Raises:
            InputError: they cannot be written, or metrics.jsonl is damaged.
        """
        assert training.directory is not None
        self._directory = training.directory
        self._processes.run_on_rank0(lambda: self._open(training))
        self._hook = threading.excepthook
        threading.excepthook = self._failed

    def _open(self, training: Training) -> None:
        from torch.utils.tensorboard import SummaryWriter

        files = TrainingFiles(self._directory)
        path, step = files.metrics, training.done
        try:
            kept = [line for line in read_metrics(path) if line["step"] <= step]
            atomic_write(path, "".join(json.dumps(line) + "\n" for line in kept))
            self._file = path.open("a", encoding="utf-8")
            self.board = SummaryWriter(str(files.tensorboard), purge_step=step + 1)
            self.board.add_custom_scalars(layout(training))
        except OSError as error:
            raise self._unwritable(error) from None

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Log the numbers of a step; every process must call.

        Raises:
            InputError: for example, the disk is full.
        """
        self._processes.run_on_all_ranks(lambda: self._write(step, figures))

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        if not self._processes.is_main_process:
            return
        try:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
            for name, value in values.items():
                self.board.add_scalar(name, value, step)
        except OSError as error:
            raise self._unwritable(error) from None

    def save(self, state: SavedState) -> None:
        """Bring all lines to the disk: a checkpoint must not outlive its step's; all must call.

        Raises:
            InputError: for example, the disk is full.
        """

        def fsync() -> None:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise self._unwritable(error) from None

        self._processes.run_on_rank0(fsync)

    def _failed(self, failure: threading.ExceptHookArgs) -> None:
        """Leave a failure of TensorBoard's thread to the next write, which tells it in one line."""
        if not type(failure.thread).__module__.startswith("tensorboard."):
            self._hook(failure)

    def end(self, error: BaseException | None) -> None:
        """Close the files."""
        try:
            for part in (self._file, self.board) if self._processes.is_main_process else ():
                part.close()
        except OSError as failure:
            raise self._unwritable(failure) from None
        finally:
            threading.excepthook = self._hook

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"{self._directory}: metrics.jsonl or tensorboard cannot be written "
            f"({error.strerror or error}); make room and start the same command again"
        )


class DiagnosticsLog(LoopCallback):
    """Shows what the networks do, in figures, histograms and pictures.

    In the training that is measured on test rows, the real rows of unseen classes are not looked
    at.

    Args:
        problem: what is trained on.
        seed: of synthetic rows.
        margin: of the prototypical loss's adaptive weights; None without any.
        metric_logger: shows the pictures.
        processes: the job.
    """

    def __init__(
        self,
        problem: Problem,
        seed: int,
        margin: float | None,
        metric_logger: MetricLogger,
        processes: DistributedContext,
    ) -> None:
        self._problem, self._seed, self._margin = problem, seed, margin
        self._metric_logger, self._processes = metric_logger, processes

    def start(self, training: Training) -> None:
        """Note which step is the last."""
        self._steps = training.steps

    def evaluated(
        self, step: int, networks: Networks, scored: ScoredProblem | None
    ) -> Mapping[str, float]:
        """Figures for this step's line, on the first process alone; every process must call."""

        def look() -> Diagnostics:
            if not self._processes.is_main_process:
                return Diagnostics()
            return diagnose(
                networks,
                self._problem,
                self._seed,
                self._margin,
                unseen=scored is not None,
            )

        def pictures() -> None:
            board = self._metric_logger.board
            show_histograms(board, step, found)
            if step < self._steps:  # drawing takes as long as measuring does
                return
            show_projection(board, step, found)
            if scored is not None:
                show_scores(board, step, scored.seen, scored.unseen, self._problem.names)
            show_projector(board, step, found, self._problem.names)

        found = self._processes.run_on_all_ranks(look)
        draw(pictures, self._processes)
        return found.scalars
