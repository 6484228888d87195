"""Which GPUs a job was given, by the environment and the machine rather than by torch."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch

DEVICE = re.compile(r"\d+|(GPU|MIG)-.+")
"""An entry of CUDA_VISIBLE_DEVICES that names a device; CUDA ignores what follows another."""

SLURM_LISTS = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS")


def allotted_gpus(root: Path = Path("/")) -> tuple[int, str]:
    """How many GPUs this process's job has on this machine, and what says so.

    CUDA_VISIBLE_DEVICES decides where it is set: empty, ``-1`` and Slurm's ``NoDevFiles`` are none.
    Else Slurm's variables count, and outside Slurm (where a job may not use all) the device files.
    """
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        count = 0
        for entry in visible.split(","):
            if not DEVICE.fullmatch(entry.strip()):
                break
            count += 1
        return count, f"CUDA_VISIBLE_DEVICES = {visible}"
    here = os.environ.get("SLURM_GPUS_ON_NODE", "")
    if here.isdecimal() and int(here):
        return int(here), f"SLURM_GPUS_ON_NODE = {here}"
    for name in SLURM_LISTS:
        if count := _listed(os.environ.get(name, "")):
            return count, f"{name} = {os.environ[name]}"
    if "SLURM_JOB_ID" in os.environ:
        return 0, "Slurm"
    files = [path for path in root.glob("dev/nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    return len(files), "/dev/nvidia*"


def unused_gpus_warning(root: Path = Path("/")) -> str | None:
    """What to print where this job has GPUs and torch can use none; None where it has none."""
    count, source = allotted_gpus(root)
    if not count:
        return None
    if torch.version.cuda is None:
        built, remedy = "built without CUDA", "install a build of torch with CUDA"
    else:
        built = f"built for CUDA {torch.version.cuda}"
        remedy = "see whether nvidia-smi lists them and its driver is new enough for this CUDA"
    return (
        f"warning: this job has {count} GPU(s) ({source}), but torch {torch.__version__}, {built}, "
        f"cannot use them: computing on the CPU; {remedy}, or set CUDA_VISIBLE_DEVICES to nothing "
        "to use the CPU without this warning"
    )


def _listed(text: str) -> int:
    """Devices in ``0,2-3``."""
    count = 0
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            count += max(0, int(last or first) - int(first) + 1)
    return count
