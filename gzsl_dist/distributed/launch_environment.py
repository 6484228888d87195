"""Which process of a job this is, from the launcher's variables; imports nothing heavy."""

from __future__ import annotations

import os
import subprocess

from gzsl_dist.errors import InputError


def rank() -> int:
    """Number of this process among all of the job, from 0."""
    return _read("RANK", "SLURM_PROCID", 0)


def world_size() -> int:
    """Number of processes of the job."""
    return _read("WORLD_SIZE", _step_size_name(), 1)


def local_rank() -> int:
    """Number of this process among those of its machine, from 0."""
    return _read("LOCAL_RANK", "SLURM_LOCALID", 0)


def name_meeting_point() -> None:
    """Set MASTER_ADDR and MASTER_PORT where srun started the processes and nobody set them."""
    if "RANK" in os.environ or not _started_by_srun():
        return
    port = 20000 + int(os.environ.get("SLURM_JOB_ID", "0")) * 7 % 20000
    os.environ.setdefault("MASTER_PORT", str(port + int(os.environ["SLURM_STEP_ID"]) % 7))
    if os.environ.get("SLURM_STEP_NUM_NODES", "1") == "1":
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    elif "MASTER_ADDR" not in os.environ:
        nodes = ["scontrol", "show", "hostnames", os.environ.get("SLURM_STEP_NODELIST", "")]
        try:
            names = subprocess.run(nodes, capture_output=True, text=True, check=True).stdout
            os.environ["MASTER_ADDR"] = names.split()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            raise InputError(
                "the first node's name is not known (scontrol does not tell it); set MASTER_ADDR"
            ) from None


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


def _started_by_srun() -> bool:
    """Whether this is one of several tasks of a job step.

    Rather than an sbatch script, or a shell of `salloc -n 4`, which is a step of one task in an
    allocation of four.
    """
    return "SLURM_STEP_ID" in os.environ and os.environ.get(_step_size_name(), "1") != "1"


def _step_size_name() -> str:
    """The variable that counts this step's tasks; the other one may count the allocation's."""
    return "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in os.environ else "SLURM_NTASKS"


def _read(torchrun_name: str, slurm_name: str, alone: int) -> int:
    if torchrun_name in os.environ:
        name = torchrun_name
    elif _started_by_srun():
        name = slurm_name
    else:
        return alone
    value = os.environ.get(name, "")
    if not value.isdecimal():
        raise InputError(f"environment variable {name} = {value!r}: must be a whole number")
    return int(value)
