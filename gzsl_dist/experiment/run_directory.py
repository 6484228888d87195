"""A run's folder: that no other job is in it, and that its configuration is this run's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gzsl_dist.config import Config, is_free_to_differ
from gzsl_dist.config.files import read_run_config, to_yaml
from gzsl_dist.config.nested import flat
from gzsl_dist.distributed import launch_environment
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_write, exclusive_lock
from gzsl_dist.monitoring.progress import log_rank0
from gzsl_dist.run.files import RunFiles


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
            raise _unwritable(directory, error) from None
        held.append(_lock(directory))

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
        files = RunFiles(directory)
        path = files.config
        if path.exists():
            _check_same_run(directory, config)
        elif remains := files.remains:
            raise InputError(
                f"run directory {directory} holds {remains[0].name} of a run without its "
                "config.yaml; use another --run.dir, or delete it"
            )
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
    lock = _lock(directory)
    numbers = itertools.count(1)
    aside = next(
        path for n in numbers if not (path := directory.with_name(f"{directory.name}.{n}")).exists()
    )
    directory.rename(aside)
    lock.close()
    log_rank0(processes, f"train.resume never: the earlier run is now {aside}")


def _lock(directory: Path) -> IO[str]:
    try:
        return exclusive_lock(
            RunFiles(directory).lock,
            f"run directory {directory}",
            busy=f"run directory {directory} is in use by another job; wait for it, or use another "
            "--run.dir",
            remedy="use a --run.dir on a file system with locks",
        )
    except OSError as error:
        raise _unwritable(directory, error) from None


def _unwritable(directory: Path, error: OSError) -> InputError:
    return InputError(
        f"run directory {directory}: cannot be written ({error.strerror}); choose another --run.dir"
    )


def _check_same_run(directory: Path, config: Config) -> None:
    theirs = _compared(read_run_config(directory).model_dump())
    for name, ours in _compared(config.model_dump()).items():
        if theirs.get(name) != ours:
            raise InputError(
                f"run directory {directory} holds a run with {name} = {theirs.get(name)}, not "
                f"{ours}; use another --run.dir, or delete it"
            )


def _compared(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flat(values).items() if not is_free_to_differ(name)}
