"""A finished (or interrupted) run, loaded for use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from gzsl_dist.config import Config
from gzsl_dist.config.files import read_run_config, to_yaml
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.load import load_dataset
from gzsl_dist.data.problem import Problem, final_problem
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.selection import fixed, needs_validation
from gzsl_dist.models.networks import Networks
from gzsl_dist.run.files import RunFiles
from gzsl_dist.run.selection import Selection
from gzsl_dist.training.resume import compatibility, fingerprint
from gzsl_dist.training.trainer import networks_for


@dataclass(frozen=True)
class TrainedRun:
    """Networks of a run's newest checkpoint and what they were trained on."""

    config: Config
    dataset: Dataset
    problem: Problem
    networks: Networks
    selection: Selection
    step: int


def load_run(run: Path, processes: DistributedContext) -> TrainedRun:
    """Load a run directory; every process must call.

    Raises:
        InputError: no run, no checkpoint, or its data set is not the one it was trained on; or
            processes see different ones.
    """
    trained, found = processes.run_on_all_ranks(lambda: _load(run, processes.device))
    selection = trained.selection
    processes.agree(
        {
            f"{run}/config.yaml": f"a configuration with checksum {_checksum(trained.config)}",
            f"data.path {trained.config.data.path}": trained.dataset.fingerprint[:12],
            f"newest checkpoint of {run}": fingerprint(found),
            f"{run}/selection/selection.json": f"{selection.steps} steps, calibration factor "
            f"{selection.calibration_factor!r}",
        },
        "give all machines the same files, on shared storage or as equal copies",
    )
    return trained


def newest_checkpoint(run: Path) -> checkpoint.Checkpoint:
    """The newest checkpoint of a run directory.

    Raises:
        InputError: there is none.
    """
    found = checkpoint.checkpoints(RunFiles(run).checkpoints)
    if not found:
        raise InputError(f"{run}: has no checkpoint; let gzsl_dist.train get that far first")
    return found[-1]


def _checksum(config: Config) -> str:
    return hashlib.sha256(to_yaml(config).encode()).hexdigest()[:12]


def _load(run: Path, device: torch.device) -> tuple[TrainedRun, checkpoint.Checkpoint]:
    files, config = RunFiles(run), read_run_config(run)
    if config.method in BASELINES:
        raise InputError(
            f"{run}: {config.method} has no networks; its result.json holds all figures"
        )
    found = newest_checkpoint(run)
    dataset = load_dataset(config.data.path, config.data.in_memory)
    problem = final_problem(dataset, config)
    networks = networks_for(problem, config).to(device)
    made = compatibility(problem.sizes, config, dataset.fingerprint)
    saved = checkpoint.load(found, made, optimizers=False)
    checkpoint.restore(found, saved, networks, averaged=True)
    if needs_validation(config.evaluation):
        selection = Selection.read(files.selection, dataset.fingerprint)
    else:
        selection = fixed(config.train.steps, config.evaluation, dataset.fingerprint)
    trained = TrainedRun(config, dataset, problem, networks, selection, found.step)
    return trained, found
