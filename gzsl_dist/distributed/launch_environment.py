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


def check(gpus: int = 0) -> None:
    """See that a launcher's variables, if there are any, say which process this is, of how many.

    A process that sees several GPUs needs its `LOCAL_RANK` to choose one.

    Raises:
        InputError: some are set and others missing, or a value cannot be. All are named.
    """
    given = [name for name in ("RANK", "WORLD_SIZE") if name in os.environ]
    by_srun = _started_by_srun()
    if not by_srun and (not given or (given == ["WORLD_SIZE"] and world_size() == 1)):
        return
    _check_complete(given, by_srun, gpus)
    first, size = rank(), world_size()
    local_rank()
    if first >= size:
        raise InputError(
            f"environment variables: RANK = {first}, but WORLD_SIZE = {size}: ranks count from 0 "
            "and are less than WORLD_SIZE; start the processes with torchrun or srun, or set both"
        )
    tasks = os.environ.get(_step_size_name(), "")
    if by_srun and given == ["WORLD_SIZE"] and tasks != str(size):
        raise InputError(
            f"environment variables: WORLD_SIZE = {size}, but {_step_size_name()} = {tasks}; unset "
            "WORLD_SIZE, srun says how many processes there are"
        )
    port = os.environ.get("MASTER_PORT", "1")
    if size > 1 and not (port.isdecimal() and 0 < int(port) < 65536):
        raise InputError(
            f"environment variable MASTER_PORT = {port!r}: must be a port, 1 to 65535, that is "
            "free on the machine of the first process"
        )


def _check_complete(given: list[str], by_srun: bool, gpus: int) -> None:
    """See that nothing is missing of what nobody else knows."""
    several = "WORLD_SIZE" not in os.environ or world_size() != 1
    needed = [] if by_srun else ["RANK", "WORLD_SIZE"]
    if several and ("RANK" in given or not by_srun):  # else `name_meeting_point` sets them
        needed += ["MASTER_ADDR", "MASTER_PORT"]
    if several and gpus > 1 and not by_srun:
        needed.append("LOCAL_RANK")
    missing = [name for name in needed if not os.environ.get(name)]
    if missing:
        found = [f"{name} = {os.environ[name]}" for name in (*given, *needed) if name in os.environ]
        raise InputError(
            f"environment variables: {', '.join(dict.fromkeys(found))}, but {', '.join(missing)} "
            "missing; start the processes with torchrun or srun, or set what is missing for each "
            f"process; for one process, unset {' and '.join(given)}"
        )


def name_meeting_point() -> None:
    """Set MASTER_ADDR and MASTER_PORT where srun started the processes and nobody set them."""
    if "RANK" in os.environ or not _started_by_srun():
        return
    port = 20000 + _whole_number("SLURM_JOB_ID", "0") * 7 % 20000
    os.environ.setdefault("MASTER_PORT", str(port + _whole_number("SLURM_STEP_ID") % 7))
    if os.environ.get("SLURM_STEP_NUM_NODES", "1") == "1":
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    elif "MASTER_ADDR" not in os.environ:
        nodes = ["scontrol", "show", "hostnames", os.environ.get("SLURM_STEP_NODELIST", "")]
        try:
            names = subprocess.run(nodes, capture_output=True, text=True, check=True).stdout
            os.environ["MASTER_ADDR"] = names.split()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            raise InputError(
                "the first node's name is not known (scontrol does not name it); set MASTER_ADDR"
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
    return _whole_number(name)


def _whole_number(name: str, unset: str = "") -> int:
    value = os.environ.get(name, unset)
    if value.isdecimal():
        return int(value)
    found = f"= {value!r}" if name in os.environ else "is missing"
    remedy = "start the processes with srun or torchrun, which set it"
    if not name.startswith("SLURM_"):
        remedy += "; for one process, unset it"
    raise InputError(f"environment variable {name} {found}: must be a whole number; {remedy}")
