"""Devices, versions and clocks of all processes."""

from __future__ import annotations

import platform
import socket
import time

import torch
import torch.distributed as dist

import gzsl_dist
from gzsl_dist.distributed.processes import Processes, collective_backend
from gzsl_dist.verification.report import Check, gather_objects

MOST_SKEW_S = 5.0
"""Clocks further apart than this confuse time stamps of files and logs."""


def check_machines(processes: Processes) -> list[Check]:
    """Devices and versions, which must be equal, and clocks."""
    device = processes.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    versions = {
        "python": platform.python_version(),
        "gzsl_dist": gzsl_dist.__version__,
        "torch": torch.__version__,
        "CUDA": str(torch.version.cuda),
        "NCCL": str(torch.cuda.nccl.version()) if device.type == "cuda" else "None",
    }
    gathered = gather_objects(processes, (socket.gethostname(), name, versions))
    hosts = {host for host, _, _ in gathered}
    names = {name for _, name, _ in gathered}
    differing = [
        f"{key} is {' and '.join(sorted(values))}"
        for key in versions
        if len(values := {one[key] for _, _, one in gathered}) > 1
    ]
    if len(names) > 1:
        differing.append(f"devices are {' and '.join(sorted(names))}")
    told = ", ".join(f"{key} {value}" for key, value in versions.items() if value != "None")
    return [
        Check(
            "processes",
            True,
            f"{len(gathered)} on {len(hosts)} host(s), {collective_backend(device)}, {name}",
        ),
        Check(
            "versions",
            not differing,
            "; ".join(differing) or told,
            "use the same environment and kind of device on every machine",
        ),
        _check_clocks(processes),
    ]


def _check_clocks(processes: Processes) -> Check:
    if processes.world_size > 1:
        dist.barrier()
    times = gather_objects(processes, time.time())
    skew = max(times) - min(times)
    return Check(
        "clocks",
        skew < MOST_SKEW_S,
        f"{skew:.3f} s apart, the barrier's own time included",
        "synchronize the machines' clocks (NTP)",
    )
