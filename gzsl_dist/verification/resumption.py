"""A training that is saved and resumed against one that was never interrupted."""

from __future__ import annotations

from pathlib import Path

from gzsl_dist.config import Config
from gzsl_dist.data.problem import Problem
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.checkpoint import SavedState
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.distributed.strategies import Strategy
from gzsl_dist.training.loop import Trainer
from gzsl_dist.verification.exactness import TOLERANCES, state_error
from gzsl_dist.verification.report import Check
from gzsl_dist.verification.small import alone, one_process, start_from

STEPS, SAVED_AT = 4, 2
REMEDY = "do not trust resumed runs here: use the same torch on all machines, and report it"


def check_resume(
    problem: Problem,
    config: Config,
    processes: Processes,
    strategy: Strategy,
    start: SavedState,
    scratch: Path,
) -> list[Check]:
    """Save, forget all but the disk, resume: by the same processes, and by one alone.

    Args:
        problem: small.
        config: small, with the user's strategy and precision.
        processes: the job.
        strategy: how they train together.
        start: where both trainings begin.
        scratch: a folder that all processes see; checkpoints are written there.
    """
    folder = scratch / "checkpoints"
    trainer = Trainer(problem, config, processes, strategy, start_from(start))
    train(trainer, 0, SAVED_AT)
    checkpoint.save(folder, trainer.state(SAVED_AT), {}, processes, keep=1)
    train(trainer, SAVED_AT, STEPS)
    expected = trainer.state(STEPS)
    del trainer

    saved = processes.together(lambda: load_newest(folder))
    resumed = Trainer(problem, config, processes, strategy, (saved[0], saved[1]))
    train(resumed, SAVED_AT, STEPS)
    found = resumed.state(STEPS)
    same = processes.once(lambda: state_error(found, expected))
    checks = [
        Check(
            "resume, same processes",
            same == 0.0,
            f"relative error {same:.1e} after save and resume at {SAVED_AT} of {STEPS} steps, "
            "0 allowed",
            REMEDY,
        )
    ]

    def on_one_process() -> float:
        other = Trainer(problem, one_process(config), *alone(processes.device), saved)
        train(other, SAVED_AT, STEPS)
        return state_error(other.state(STEPS), expected)

    error, tolerance = processes.once(on_one_process), TOLERANCES[config.train.precision]
    checks.append(
        Check(
            "resume, one process",
            error <= tolerance,
            f"relative error {error:.1e}, {tolerance:.0e} allowed, saved by "
            f"{processes.world_size} process(es)",
            REMEDY,
        )
    )
    return checks


def train(trainer: Trainer, done: int, steps: int) -> None:
    """Train from a number of steps done to another."""
    for step in range(done, steps):
        trainer.train_step(step)


def load_newest(folder: Path) -> tuple[checkpoint.Checkpoint, SavedState]:
    """The newest checkpoint of a folder.

    Raises:
        InputError: it is damaged, or not seen by this process.
    """
    found = checkpoint.checkpoints(folder)
    if not found:
        raise checkpoint.DamagedError(
            f"{folder}: a checkpoint that was just written is not seen; use storage that all "
            "machines of the job share"
        )
    return found[-1], checkpoint.load(found[-1], {})
