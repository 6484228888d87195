"""List what is installed here, and what is missing: ``python -m gzsl_dist.doctor``.

Versions, devices, optional packages with the command that installs them, what carries tensors
between processes, launchers, limits, and the data files in ``data/``. Whether training is exact
here is what ``gzsl_dist.verify`` checks.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from gzsl_dist import __version__
from gzsl_dist.command import CommandParser, run_command
from gzsl_dist.errors import InputError

FILES_NEEDED = 4096
"""Open files that a job of hundreds of processes with many shards may need on its first machine."""


def main(arguments: list[str]) -> int:
    """Print a line for each thing that is here or missing.

    Raises:
        InputError: a package that every training needs is missing.
    """
    parser = CommandParser(prog="python -m gzsl_dist.doctor", description=__doc__)
    parser.add_argument("--data", type=Path, default="data", help="folder of data files [data]")
    options = parser.parse_args(arguments)
    show("gzsl_dist", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    for extra, names in required_packages().items():
        missing = show_packages(extra, names)
        if missing and not extra:
            raise InputError(f"missing: {', '.join(missing)}; pip install {' '.join(missing)}")
    for name, found in (*machine(), *data_files(options.data)):
        show(name, found)
    return 0


def show(name: str, found: str) -> None:
    """Print one line."""
    print(f"{name:<14} {found}")


def required_packages() -> dict[str, list[str]]:
    """Packages by extra, "" for those that are always needed, as the installed metadata lists them.

    Raises:
        InputError: gzsl_dist itself is not installed.
    """
    try:
        listed = importlib.metadata.requires("gzsl_dist") or []
    except importlib.metadata.PackageNotFoundError:
        raise InputError("gzsl_dist is not installed, only found; pip install -e .") from None
    found: defaultdict[str, list[str]] = defaultdict(list)
    for text in listed:
        extra = re.search(r"""extra == ["']([\w-]+)""", text)
        found[extra[1] if extra else ""].append(re.split(r"[^\w.-]", text)[0])
    found.pop("dev", None)
    return found


def show_packages(extra: str, names: list[str]) -> list[str]:
    """Print the versions of an extra's packages; those that are missing are returned."""
    versions, missing = [], []
    for name in names:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        install = f"'gzsl_dist[{extra}]'" if extra else " ".join(missing)
        versions.append(f"missing {', '.join(missing)}: pip install {install}")
    show(f"[{extra}]" if extra else "packages", ", ".join(versions))
    return missing


def machine() -> Iterator[tuple[str, str]]:
    """Devices, what carries tensors between processes, cores, memory, programs and limits."""
    import torch
    import torch.distributed as dist

    from gzsl_dist.data.memory import free_host_bytes
    from gzsl_dist.distributed.allotted_gpus import unused_gpus_warning

    devices = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    yield "devices", ", ".join(devices) or unused_gpus_warning() or f"CPU only (torch is {built})"
    carriers = {"gloo": dist.is_gloo_available(), "NCCL": dist.is_nccl_available()}
    carriers["MPI"] = dist.is_mpi_available()
    names = [name if there else f"no {name}" for name, there in carriers.items()]
    yield "communication", f"{', '.join(names)} (CPUs need gloo, GPUs NCCL; MPI is not used)"
    memory = free_host_bytes() / 1e9
    yield "machine", f"{len(os.sched_getaffinity(0))} CPU cores, {memory:.1f} GB of memory free"
    programs = ("torchrun", "srun", "deepspeed", "mpirun", os.environ.get("CXX", "g++"))
    found = [name if shutil.which(name) else f"no {name}" for name in programs]
    yield "programs", f"{', '.join(found)} (the last for train.compile)"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = f"; for large jobs: ulimit -n {min(hard, FILES_NEEDED)}" if soft < FILES_NEEDED else ""
    yield "open files", f"{soft} (at most {hard}){few}"


def data_files(folder: Path) -> Iterator[tuple[str, str]]:
    """The prepared data sets of a folder, with their sizes or what is wrong."""
    from gzsl_dist.planning.shapes import opened, shape_of

    yield "data", "digits (embedded)"
    for path in sorted([*folder.glob("*.h5"), *folder.glob("*/dataset.h5")]):
        try:
            shape = shape_of(opened(str(path)))
        except InputError as error:
            yield "", str(error)
        else:
            yield (
                "",
                (
                    f"{path}: {shape.seen_count} seen classes, {shape.rows} training rows, "
                    f"d_x {shape.feature_dim}, d_a {shape.semantic_dim}"
                ),
            )


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
