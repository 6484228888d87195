"""A run's folder: that no other job is in it, and that its configuration is this run's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gzsl_dist.config import Config
from gzsl_dist.config.files import check_run_directory, to_yaml
from gzsl_dist.distributed import launch_environment
from gzsl_dist.distributed.log import log_rank0
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.files import atomic_write
from gzsl_dist.run.files import RunFiles
from gzsl_dist.run.state import lock_run, unwritable


@contextmanager
def locked(config: Config, processes: DistributedContext) -> Iterator[Path]:
    """Make the run directory and keep other jobs out of it.

    The lock goes with the process that holds it. With `train.resume` never, an earlier run in the
    directory is moved aside first.

    Raises:
        InputError: another job is in it, or it cannot be written.
    """
    directory = config.run_dir
    held: list[IO[str]] = []

    def claim() -> None:
        if config.train.resume == "never" and not launch_environment.is_restart():
            move_aside(directory, processes)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(directory, error) from None
        held.append(lock_run(directory))

    processes.run_on_rank0(claim)
    try:
        yield directory
    finally:
        for file in held:
            file.close()


def open_run_directory(config: Config, processes: DistributedContext) -> Path:
    """Check that the run directory is new or holds an earlier start of this very run.

    Raises:
        InputError: it belongs to another configuration, or cannot be written.
    """
    directory = config.run_dir

    def check() -> None:
        path = RunFiles(directory).config
        check_run_directory(directory, config)
        if not path.exists() or path.read_text(encoding="utf-8") != to_yaml(config):
            atomic_write(path, to_yaml(config))

    processes.run_on_rank0(check)
    return directory


def move_aside(directory: Path, processes: DistributedContext) -> None:
    """Rename what an earlier run left, so that nothing of it is lost or mixed with a new one.

    Raises:
        InputError: another job is in the directory.
    """
    files = RunFiles(directory)
    if not (files.config.exists() or files.remains):
        return
    lock = lock_run(directory)
    numbers = itertools.count(1)
    aside = next(
        path for n in numbers if not (path := directory.with_name(f"{directory.name}.{n}")).exists()
    )
    directory.rename(aside)
    lock.close()
    log_rank0(processes, f"train.resume never: the earlier run is now {aside}")
