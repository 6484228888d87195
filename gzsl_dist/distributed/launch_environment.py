"""Which process of a job this is, from the launcher's variables; imports nothing heavy."""

from __future__ import annotations

import os

from gzsl_dist.errors import InputError


def rank() -> int:
    """Number of this process among all of the job, from 0."""
    return _read("RANK", "SLURM_PROCID", 0)


def world_size() -> int:
    """Number of processes of the job."""
    return _read("WORLD_SIZE", "SLURM_NTASKS", 1)


def local_rank() -> int:
    """Number of this process among those of its machine, from 0."""
    return _read("LOCAL_RANK", "SLURM_LOCALID", 0)


def is_restart() -> bool:
    """Whether a launcher has started this job again after a failure or a requeue."""
    counts = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    return any(os.environ.get(name, "0") != "0" for name in counts)


def is_reporting_process() -> bool:
    """Whether this process speaks for the job when it fails; never raises."""
    try:
        return rank() == 0
    except InputError:
        return True


def is_one_of_several() -> bool:
    """Whether a launcher started this process with others; never raises."""
    try:
        return world_size() > 1
    except InputError:
        return False


def _read(torchrun_name: str, slurm_name: str, alone: int) -> int:
    if torchrun_name in os.environ:
        name = torchrun_name
    elif "SLURM_STEP_ID" in os.environ and os.environ.get("SLURM_NTASKS", "1") != "1":
        name = slurm_name  # started by srun with several tasks, without torchrun
    else:
        return alone
    value = os.environ.get(name, "")
    if not value.isdecimal():
        raise InputError(f"environment variable {name} = {value!r}: must be a whole number")
    return int(value)
