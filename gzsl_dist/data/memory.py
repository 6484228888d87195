"""How much memory is free for this process: of the machine, of the job, of a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # commands that need no networks start without it
    import torch

SHARE = 4
"""Data may take one part in so many of what is free: all else needs memory too."""


def fits_in_memory(size: int, device: torch.device | None = None) -> bool:
    """Whether so many bytes are at most a quarter of the memory that is free for each process here.

    Processes of one machine share it, and those on one GPU, where that is the device; torchrun and
    srun say how many there are.
    """
    processes = processes_here()
    if device is not None and device.type == "cuda":
        import torch

        sharing = -(-processes // max(1, torch.cuda.device_count()))
        return size <= free_device_bytes(device) / SHARE / sharing
    return size <= free_host_bytes() / SHARE / processes


def free_device_bytes(device: torch.device) -> int:
    """Free bytes of a GPU, with what torch holds of it unused."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + max(0, unused))


def processes_here() -> int:
    """Processes of the job on this machine."""
    for name in ("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE"):
        here = os.environ.get(name, "")
        if here.isdecimal() and int(here):
            return int(here)
    return 1


def free_host_bytes(root: Path = Path("/")) -> int:
    """The least that the machine, a control group (version 1 or 2) or Slurm leaves to this job.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    return max(0, min([_machine(root), *_control_groups(root), *_slurm(root)]))


def _machine(root: Path) -> int:
    try:
        text = (root / "proc/meminfo").read_text()
        return 1024 * int(text.split("MemAvailable:")[1].split()[0])
    except (OSError, IndexError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _control_groups(root: Path) -> Iterator[int]:
    """What each group that this process is in has left; a parent's limit holds as well."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, inside = line.split(":", 2)
        if controllers == "":  # version 2
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current")
            cache = "inactive_file"
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            cache = "total_inactive_file"
        else:
            continue
        group = mount / inside.lstrip("/")
        # in a container the path may be that of the host, and its own group is the mount
        for folder in dict.fromkeys([group, *group.parents, mount]):
            if folder != mount and mount not in folder.parents:
                break
            left = _left(folder, names, cache)
            if left is not None:
                yield left


def _left(folder: Path, names: tuple[str, str], cache: str) -> int | None:
    """Limit less use of a control group, whose cache of files can be given up."""
    try:
        limit, used = (int((folder / name).read_text()) for name in names)
    except (OSError, ValueError):  # no such group, or "max"
        return None
    try:
        values = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        used -= int(values.get(cache, 0))
    except (OSError, ValueError):
        pass
    return limit - used


def _slurm(root: Path) -> Iterator[int]:
    """What Slurm's ``--mem`` or ``--mem-per-cpu`` leaves, where no control group enforces it.

    Processes of the job are taken to use as much as this one.
    """
    megabytes = 0
    if _number("SLURM_MEM_PER_NODE"):
        megabytes = _number("SLURM_MEM_PER_NODE")
    elif _number("SLURM_MEM_PER_CPU"):
        megabytes = _number("SLURM_MEM_PER_CPU") * max(1, _number("SLURM_CPUS_ON_NODE"))
    if not megabytes:  # not given, or 0: all of the machine
        return
    try:
        text = (root / "proc/self/status").read_text()
        used = 1024 * int(text.split("VmRSS:")[1].split()[0])
    except (OSError, IndexError, ValueError):
        used = 0
    yield (megabytes << 20) - used * processes_here()


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else 0
