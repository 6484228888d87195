"""That all processes see the same files, and that the disk stores and locks them."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import h5py

from gzsl_dist.data.dataset import Dataset
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.errors import InputError
from gzsl_dist.training.resume import SHARE, agreed_list, fingerprint
from gzsl_dist.verification.report import Check

WRITTEN_MIB = 64
CHECKPOINT_FOLDERS = ("checkpoints", "selection/checkpoints")


def check_directory(directory: Path, processes: Processes) -> list[Check]:
    """That the run directory is one for all."""
    processes.agree_on_folder("run directory", directory)
    return [Check("run directory", True, f"{directory}, the same for all processes")]


def check_data(path: str, dataset: Dataset, processes: Processes) -> list[Check]:
    """That all processes read the same data set."""
    processes.agree({f"data.path {path}": dataset.fingerprint[:12]}, SHARE)
    return [Check("data set", True, f"{path}, fingerprint {dataset.fingerprint[:12]} for all")]


def check_checkpoints(directory: Path, processes: Processes) -> list[Check]:
    """That all see the same checkpoints of the run directory, and that none is damaged."""
    newest, count = "none yet", 0
    for name in CHECKPOINT_FOLDERS:
        for saved in (found := agreed_list(directory / name, processes)):

            def read(saved: checkpoint.Checkpoint = saved) -> None:
                checkpoint.load(saved, {})

            processes.once(read)
        count += len(found)
        if found and newest == "none yet":
            seen = fingerprint(found[-1])
            newest = f"the newest is {seen}"
    return [Check("checkpoints", True, f"{count} undamaged, {newest}")]


def check_disk(scratch: Path, processes: Processes) -> list[Check]:
    """Speed of writing by the first process, and locks by all processes on their own files."""
    seconds = processes.once(lambda: _write(scratch / "written"))
    processes.together(lambda: _lock(scratch, processes.rank))
    return [
        Check("disk", True, f"{WRITTEN_MIB / seconds:.0f} MiB/s written and synced"),
        Check("locks", True, "flock and HDF5 lock files in the run directory"),
    ]


def _write(path: Path) -> float:
    block = os.urandom(1 << 20)
    started = time.monotonic()
    try:
        with path.open("wb") as file:
            for _ in range(WRITTEN_MIB):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        seconds = time.monotonic() - started
        path.unlink()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    return max(seconds, 1e-6)


def _lock(scratch: Path, rank: int) -> None:
    path = scratch / f"lock-{rank}"
    try:
        with path.open("w") as file, path.open("w") as other:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                raise InputError(f"{path}: two holders were given one lock by flock")
        with h5py.File(path.with_suffix(".h5"), "w", locking=True) as hdf5:
            hdf5["values"] = [1.0]
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise InputError(f"{path}: cannot be locked ({reason})") from None
