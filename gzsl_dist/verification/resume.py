"""Saved, killed, resumed: the same weights as of a training that nobody interrupted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from gzsl_dist.config import Config
from gzsl_dist.config.files import to_yaml
from gzsl_dist.config.nested import merge
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_write
from gzsl_dist.run.files import TrainingFiles
from gzsl_dist.training.resume import Found
from gzsl_dist.training.trainer import Trainer
from gzsl_dist.verification.check import Check, Session, largest
from gzsl_dist.verification.exactness import difference

STEPS, MORE = 3, 2
TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "bfloat16": 5e-2}
"""Of losses after some steps at another number of processes, relative to the largest. Not of
weights: Adam turns the rounding of a gradient that is zero in exact arithmetic into whole steps."""

KILL_AFTER_S = 120.0
LAUNCHED = (
    "RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "TORCHELASTIC_", "GROUP_", "ROLE_", "SLURM_", "PMI",
    "OMPI_", "GZSL_",
)  # fmt: skip
"""What variables of launchers and schedulers begin with."""


def same_processes(session: Session) -> Iterator[Check]:
    """A checkpoint of this job, resumed by this job."""
    processes, small = session.processes, session.small
    folder = session.scratch / "resumed"
    checkpoint.prepare(folder, processes)
    trainer = small.trainer()
    for step in range(STEPS):
        trainer.train_step(step)
    checkpoint.save(folder, trainer.state(STEPS), small.made, processes, 2)
    expected = _weights_after(trainer, STEPS)
    resumed = small.trainer(_newest(small, folder))
    error = largest(processes, difference(_weights_after(resumed, STEPS), expected)[0])
    yield Check(
        "save and resume",
        error <= (0.0 if processes.device.type == "cpu" else 1e-6),
        "the same weights to the bit" if error == 0 else f"weights within {error:.1e}",
        "the device computes differently each time; report it with this table",
    )


def killed(session: Session) -> Iterator[Check]:
    """A training on one process is killed without warning; this job resumes what it left."""
    processes, small = session.processes, session.small
    run = session.scratch / "killed"
    processes.run_on_rank0(lambda: _train_and_kill(small.config, run))
    found = _newest(small, TrainingFiles(run).checkpoints)
    saved, resumed = found[0], small.trainer(found)
    taken_over = largest(processes, float(not _same(resumed.state(saved.step), found[1]))) == 0
    other = small.trainer()
    for step in range(saved.step):
        other.train_step(step)
    errors = []
    for step in range(saved.step, saved.step + MORE):
        found_losses, expected = (_losses(processes, one, step) for one in (resumed, other))
        errors.append((found_losses - expected).abs().max() / expected.abs().max())
    resumed.close()
    other.close()
    error = largest(processes, float(torch.stack(errors).max()))  # NaN stays one
    tolerance = TOLERANCE[small.config.train.precision]
    yield Check(
        "kill -9 and resume",
        taken_over and error <= tolerance,
        f"1 process killed after step {saved.step}, {processes.world_size} resumed: weights and "
        f"moments {'to the bit' if taken_over else 'DIFFER from the saved'}, losses within "
        f"{error:.1e} of uninterrupted (at most {tolerance:.0e})",
        "processes do not compute the same; see the checks of gradients",
    )


def _newest(small: Session, folder: Path) -> Found:
    saved = checkpoint.checkpoints(folder)[-1]
    return small.processes.run_on_all_ranks(lambda: (saved, checkpoint.load(saved, small.made)))


def _losses(processes: DistributedContext, trainer: Trainer, step: int) -> Tensor:
    """All losses of a step, summed over processes, ``(losses,)``."""
    parts = trainer.train_step(step)
    values = torch.stack([value.double() for name, value in parts.items() if "loss" in name])
    return processes.all_reduce_sum(values)


def _same(found: checkpoint.SavedState, expected: checkpoint.SavedState) -> bool:
    """Whether weights and moments are the same to the bit."""
    pairs = [(found.networks, expected.networks), (found.averages, expected.averages)]
    for side, parameters in expected.optimizers.items():
        pairs += [(found.optimizers[side][name], parameters[name]) for name in parameters]
    return all(
        one.keys() == other.keys()
        and all(torch.equal(one[name].cpu(), other[name].cpu()) for name in one)
        for one, other in pairs
    )


def _weights_after(trainer: Trainer, done: int) -> dict[str, Tensor]:
    """Weights after `MORE` steps; the trainer is not used after."""
    for step in range(done, done + MORE):
        trainer.train_step(step)
    kept = trainer.consolidated_networks().state_dict()
    if trainer.averages is not None:
        kept |= {f"average of {name}": value for name, value in trainer.averages.values.items()}
    weights = {
        name: value.detach().double().cpu().clone()
        for name, value in kept.items()
        if torch.is_floating_point(value)
    }
    trainer.close()
    return weights


def _train_and_kill(config: Config, run: Path) -> None:
    settings = {
        "run": {"dir": str(run)},
        "train": {"strategy": "single", "steps": 100_000},
        "checkpoint": {"every": 1},
    }
    shutil.rmtree(run, ignore_errors=True)
    file = run.with_suffix(".yaml")
    atomic_write(file, to_yaml(Config.model_validate(merge(config.model_dump(), settings))))
    alone = {name: text for name, text in os.environ.items() if not name.startswith(LAUNCHED)}
    command = [sys.executable, "-m", "gzsl_dist.train", "--config", str(file)]
    log, folder = run.with_suffix(".log"), TrainingFiles(run).checkpoints
    with log.open("wb") as output:
        child = subprocess.Popen(command, env=alone, stdout=output, stderr=output)
    try:
        began = time.monotonic()
        while not any(one.step >= 2 for one in checkpoint.checkpoints(folder)):
            if child.poll() is not None or time.monotonic() - began > KILL_AFTER_S:
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise InputError(
                    f"a training of its own, {run}, saved no checkpoint in "
                    f"{time.monotonic() - began:.0f} s ({' '.join(last)}); see {log}"
                )
            time.sleep(0.005)
    finally:
        child.kill()  # SIGKILL: it can do nothing about it
        child.wait()
