"""The training loop: steps, evaluations and where a training starts; all else is callbacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from gzsl_dist.config import Config
from gzsl_dist.config.nested import flat
from gzsl_dist.data.problem import Problem
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.log import log_rank0
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import Strategy
from gzsl_dist.errors import DivergedError, InterruptedRunError, PreemptedError
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.evaluation.selection import validation_figures
from gzsl_dist.models.networks import Networks
from gzsl_dist.monitoring.callback import LoopCallback
from gzsl_dist.monitoring.metric_logger import DiagnosticsLog, MetricLogger
from gzsl_dist.monitoring.progress import TrainingProgress
from gzsl_dist.monitoring.throughput import Throughput
from gzsl_dist.run.files import TrainingFiles
from gzsl_dist.training.callbacks import Training, following, user_callbacks
from gzsl_dist.training.embedding_losses import Losses
from gzsl_dist.training.resume import Checkpoints, agreed_start, compatibility
from gzsl_dist.training.stop_signal import StopSignal
from gzsl_dist.training.trainer import Trainer

# of the steps done and the networks
Validate = Callable[[int, Networks], ScoredProblem]
Oracle = Callable[[int, Networks], dict[str, float]]


@dataclass
class PendingLosses:
    """Losses of the steps since the last log, read together: one sum over the job, one sync."""

    processes: DistributedContext
    first_step: int
    parts: list[Losses]

    def collect(self) -> dict[str, float]:
        """The last step's losses, summed over processes.

        Raises:
            DivergedError: a loss of any step since the last call is NaN or infinite.
        """
        names = list(self.parts[0])
        table = torch.stack([torch.stack([part[name] for name in names]) for part in self.parts])
        values: list[list[float]] = self.processes.all_reduce_sum(table.double()).tolist()
        for step, row in enumerate(values, start=self.first_step):
            for name, value in zip(names, row, strict=True):
                if not math.isfinite(value):
                    raise DivergedError(
                        f"training diverged: {name} is {value} at step {step}; the last good "
                        "checkpoint is kept; try a lower --train.learning_rate"
                    )
        self.first_step += len(values)
        self.parts.clear()
        return dict(zip(names, values[-1], strict=True))


def fit(
    problem: Problem,
    config: Config,
    processes: DistributedContext,
    strategy: Strategy,
    directory: Path | None,
    *,
    title: str,
    steps: int,
    fingerprint: str,
    stop: StopSignal,
    validate: Validate | None = None,
    oracle: Oracle | None = None,
    start: Path | None = None,
    split: str = "",
    later: int = 0,
) -> Networks:
    """Train for a number of steps, resuming from the newest checkpoint if there is one.

    Args:
        problem: what is trained on.
        config: all settings.
        processes: the job.
        strategy: how the processes train together.
        directory: gets ``metrics.jsonl``, ``tensorboard`` and ``checkpoints``; None: nothing is
            written.
        title: shown with the progress.
        steps: generator steps in all.
        fingerprint: of the data set.
        stop: when raised on any process, all save and stop.
        validate: scores validation classes; called every `evaluation.every` steps and at the end,
            its figures are logged, and the checkpoint with the best is kept.
        oracle: measures test rows as often, to be logged and not to be used.
        start: checkpoints of another training to start from, where this one has none.
        split: in selection, what the validation rows depend on: weights that were trained on them
            must not be started from.
        later: steps of the run's trainings after this one, for the forecast of its time.

    Raises:
        DivergedError: a loss became NaN or infinite.
        PreemptedError: stopped by a signal, after saving.
        InputError: a checkpoint does not fit, or nothing can be written.
    """
    folder = None if directory is None else TrainingFiles(directory).checkpoints
    made = compatibility(problem.sizes, config, fingerprint)
    if split:
        made[checkpoint.SPLIT] = split
    if folder is not None:
        checkpoint.prepare(folder, processes)
    found = agreed_start(folder, start, made, steps, processes)
    own = found is not None and found[0].path.parent == folder
    trainer = Trainer(problem, config, processes, strategy, found, own=own)
    done = found[0].step if found is not None else 0
    if found is not None:
        log_rank0(
            processes, f"{title}: resuming after step {done} of {steps}, from {found[0].path}"
        )
    if config.train.batch_size > len(problem.train):
        log_rank0(
            processes,
            f"{title}: the batch of {config.train.batch_size} is larger than the "
            f"{len(problem.train)} training rows; rows repeat in it, a step takes longer",
        )
    callbacks: list[LoopCallback] = []
    if folder is not None:
        metric_logger, weights = MetricLogger(processes), config.loss.prototype
        margin = weights.margin if weights.adaptive else None
        callbacks += [
            Throughput(config.train, processes),
            metric_logger,
            DiagnosticsLog(problem, config.train.seed, margin, metric_logger, processes),
            Checkpoints(folder, made, config.checkpoint.keep, processes),
        ]
    callbacks += [
        *user_callbacks(config.train.callbacks, processes),
        TrainingProgress(processes, later),
    ]
    training = Training(title, directory, flat(config.model_dump()), steps, done)
    with following(callbacks, training), stop.in_steps():
        run_steps(trainer, training, callbacks, config, processes, stop, validate, oracle)
    networks = trainer.evaluated_networks()
    trainer.close()
    return networks


ONLY_STEP = "the only one of this start"
"""By which ``cluster/job.sh`` knows a time limit that is too short."""


def run_steps(
    trainer: Trainer,
    training: Training,
    callbacks: Sequence[LoopCallback],
    config: Config,
    processes: DistributedContext,
    stop: StopSignal,
    validate: Validate | None,
    oracle: Oracle | None,
) -> None:
    """Train from the steps done to all steps; arguments and errors as of `fit`."""
    pending = PendingLosses(processes, training.done + 1, [])
    figures: dict[str, float] = {}
    for step in range(training.done + 1, training.steps + 1):
        with ExitStack() as stack:
            for each in callbacks:
                stack.enter_context(each.step())
            pending.parts.append(trainer.train_step(step - 1))
            stop.steps += 1
        stopping = processes.all_reduce_any(stop.name is not None)
        last = step == training.steps
        evaluating = last or step % config.evaluation.every == 0
        validating = evaluating and validate is not None
        saving = last or stopping or validating or step % config.checkpoint.every == 0
        logging = evaluating or step % config.log.every == 0
        if logging or saving:
            losses = pending.collect()
        if logging:
            figures = dict(losses)
            for each in callbacks:
                figures |= each.metrics(step)
            figures["critic/wasserstein_estimate"] = -losses["critic/wasserstein_loss"]
            figures["train/learning_rate"] = config.train.learning_rate
            if evaluating:
                networks = trainer.evaluated_networks()
                if validate is not None:
                    text = f"{training.title}: measuring validation classes after step {step}"
                    log_rank0(processes, text)
                scored = validate(step, networks) if validate is not None else None
                if scored is not None:
                    figures |= validation_figures([scored], config.evaluation)
                for each in callbacks:
                    figures |= each.evaluated(step, networks, scored)
                figures |= oracle(step, networks) if oracle is not None else {}
            for each in callbacks:
                each.log(step, figures)
        if saving:
            state = trainer.state(step, figures.get("validation/H") if validating else None)
            for path in filter(None, [each.save(state) for each in callbacks]):
                for each in callbacks:
                    each.saved(step, path)
        for each in callbacks:
            each.advance(step, figures)
        if stopping:  # after the last step too: evaluation takes longer than a grace period
            only = f" ({ONLY_STEP})" if stop.steps == 1 else ""
            text = f"after step {step} of {training.steps}{only}; a checkpoint was saved, the same"
            if processes.all_reduce_any(stop.interrupted):
                raise InterruptedRunError(f"{training.title}: interrupted {text} command resumes")
            raise PreemptedError(f"stopped by a signal {text} command resumes")
