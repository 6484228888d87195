"""All checks in order."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.load import load_dataset
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.distributed.strategies import choose_strategy, trained_parameters
from gzsl_dist.errors import InputError
from gzsl_dist.models.networks import build_networks
from gzsl_dist.presets import BASELINES
from gzsl_dist.training.loop import networks_for
from gzsl_dist.training.resume import SHARE
from gzsl_dist.verification.communication import check_communication
from gzsl_dist.verification.exactness import check_gradients, check_negatives
from gzsl_dist.verification.machines import check_machines
from gzsl_dist.verification.report import Check, attempt
from gzsl_dist.verification.resumption import check_resume
from gzsl_dist.verification.small import small_config, small_problem, start_state
from gzsl_dist.verification.storage import (
    check_checkpoints,
    check_data,
    check_directory,
    check_disk,
)


def verify(config: Config, processes: Processes) -> tuple[list[Check], str]:
    """Run all checks; all processes must call.

    Args:
        config: the trainer's settings.
        processes: the job.

    Returns:
        The checks, the same on all processes, and the strategy's name.

    Raises:
        InputError: the settings cannot be trained with, or the data cannot be read.
    """
    if config.method in BASELINES:
        raise InputError(f"method {config.method} trains no networks; there is nothing to verify")
    strategy = choose_strategy(config.train, processes)
    dataset = processes.together(lambda: load_dataset(config.data.path, config.data.in_memory))
    directory = config.run_dir
    checks = check_machines(processes)
    with scratch_folder(directory, processes) as scratch:
        checks += attempt(
            "run directory", lambda: check_directory(directory, processes), processes, SHARE
        )
        shared = checks[-1].passed
        checks += attempt(
            "data set", lambda: check_data(config.data.path, dataset, processes), processes, SHARE
        )
        checks += attempt(
            "checkpoints",
            lambda: check_checkpoints(directory, processes),
            processes,
            "put back a copy, or move the damaged checkpoint aside and resume from the one before",
        )
        gradients = processes.once(lambda: _critic_values(dataset, config))
        checks += check_communication(config, gradients, processes)
        small = small_config(config, processes.world_size)
        problem = small_problem(small)
        start = processes.once(lambda: start_state(problem, small, processes.device))
        checks += check_gradients(problem, small, processes, strategy, start)
        networks = networks_for(problem, small).to(processes.device)
        checks += check_negatives(networks, small, processes)
        if not shared:
            return checks, strategy.name  # nothing can be stored for all
        checks += attempt(
            "resume",
            lambda: check_resume(problem, small, processes, strategy, start, scratch),
            processes,
            SHARE,
        )
        checks += attempt(
            "disk",
            lambda: check_disk(scratch, processes),
            processes,
            "choose another --run.dir; where only HDF5 fails, set HDF5_USE_FILE_LOCKING=FALSE",
        )
    return checks, strategy.name


def _critic_values(dataset: Dataset, config: Config) -> int:
    """How many gradients a critic step sums over processes, at the configured sizes."""
    networks = build_networks(
        config,
        feature_dim=dataset.features.shape[1],
        semantic_dim=dataset.semantics.shape[1],
        seen_count=len(dataset.seen_classes),
    )
    parameters = trained_parameters(networks).items()
    return sum(value.numel() for name, value in parameters if not name.startswith("generator."))


@contextmanager
def scratch_folder(directory: Path, processes: Processes) -> Iterator[Path]:
    """A folder in the run directory, removed at the end with what was made for it.

    Raises:
        InputError: it cannot be made.
    """

    def make() -> tuple[str, bool]:
        existed = directory.exists()
        scratch = directory / f".verify-{uuid.uuid4().hex[:12]}"
        try:
            scratch.mkdir(parents=True)
        except OSError as error:
            raise InputError(
                f"run directory {directory}: cannot be written ({error.strerror}); choose another "
                "--run.dir"
            ) from None
        return scratch.name, existed

    name, existed = processes.once(make)
    try:
        yield directory / name
    finally:
        if processes.is_first:
            shutil.rmtree(directory / name, ignore_errors=True)
            if not existed and not any(directory.iterdir()):
                directory.rmdir()
