"""What processes run on: devices, versions, clocks, files that all see, disks, communication."""

from __future__ import annotations

import fcntl
import os
import platform
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import torch

from gzsl_dist import __version__
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.collectives import reduce_scatter
from gzsl_dist.errors import InputError
from gzsl_dist.models.precision import network_dtype
from gzsl_dist.planning.table import amount, size
from gzsl_dist.planning.tracing import Sent
from gzsl_dist.run.files import RunFiles
from gzsl_dist.training.resume import agreed_list
from gzsl_dist.verification.check import Check, Session, largest

CLOCK_SKEW_S = 5.0
WRITTEN = 64 << 20
REPEATS = 5


def devices(session: Session) -> Iterator[Check]:
    """One device a process, and the same versions everywhere."""
    device = session.processes.device
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    place = f"{socket.gethostname()} {device} ({kind})"
    places = session.processes.gather_objects(place)
    hosts = len({text.split()[0] for text in places})
    twice = device.type == "cuda" and len(set(places)) < len(places)
    found = f"{len(places)} process(es) on {hosts} host(s): {', '.join(dict.fromkeys(places))}"
    yield Check("devices", not twice, found, "start as many processes a machine as it has GPUs")
    cuda = f", CUDA {torch.version.cuda}" if device.type == "cuda" else ""
    own = (
        f"gzsl_dist {__version__}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}{cuda}"
    )
    versions = list(dict.fromkeys(session.processes.gather_objects(own)))
    remedy = "use one environment on all machines"
    yield Check("versions", len(versions) == 1, "; ".join(versions), remedy)


def clocks(session: Session) -> Iterator[Check]:
    """Clocks of all processes, read at one time."""
    largest(session.processes, 0.0)  # all are here
    now = time.time()
    skew = largest(session.processes, now) + largest(session.processes, -now)
    remedy = "synchronize the machines' clocks (NTP)"
    yield Check("clocks", skew < CLOCK_SKEW_S, f"{skew:.2f} s apart", remedy)


def shared_files(session: Session) -> Iterator[Check]:
    """The run directory is one and the same for all processes."""
    directory = session.config.run_dir
    session.processes.run_on_all_ranks(lambda: session.scratch.mkdir(parents=True, exist_ok=True))
    session.processes.agree_on_folder("run directory", session.scratch)
    yield Check("run directory", True, f"{directory} is the same for all processes")


def data(session: Session) -> Iterator[Check]:
    """All processes read the same data set."""
    dataset = session.dataset
    session.processes.agree(
        {f"data.path {session.config.data.path}": dataset.fingerprint[:12]},
        "give all machines the same file, on shared storage or as equal copies",
    )
    yield Check("data", True, f"{dataset.name}, fingerprint {dataset.fingerprint[:12]} everywhere")


def saved(session: Session) -> Iterator[Check]:
    """All processes see the same checkpoints of the run directory, and none is damaged."""
    files, count = RunFiles(session.config.run_dir), 0
    for training in (*files.folds(session.config.evaluation.folds), files):
        listed = agreed_list(training.checkpoints, session.processes)
        count += len(listed)

        def read(listed: list[checkpoint.Checkpoint] = listed) -> None:
            for one in listed:
                checkpoint.load(one, {})

        session.processes.run_on_rank0(read)
    yield Check("checkpoints", True, f"{count} in the run directory, checksums right")


def disk(session: Session) -> Iterator[Check]:
    """Speed of a synchronized write, and locks, on the run directory's disk."""
    path = session.scratch / f"disk-{session.processes.rank}"

    def write() -> float:
        began = time.monotonic()
        try:
            with path.open("wb") as file:
                file.write(os.urandom(1 << 20) * (WRITTEN >> 20))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(
                f"{path}: cannot be written ({error.strerror}); make room, or use another --run.dir"
            ) from None
        return time.monotonic() - began

    seconds = largest(session.processes, session.processes.run_on_all_ranks(write))
    session.processes.run_on_all_ranks(path.unlink)
    speed = WRITTEN / 1e6 / max(seconds, 1e-9)
    yield Check("disk", True, f"{speed:.0f} MB/s a process, written and synchronized")
    session.processes.run_on_all_ranks(lambda: _lock(path))
    yield Check("locks", True, "flock and HDF5's work in the run directory")


def _lock(path: Path) -> None:
    try:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with h5py.File(path, "w") as written:
            written["x"] = np.arange(3)
        with h5py.File(path, "r") as read:
            read["x"][:]
    except OSError as error:
        raise InputError(
            f"locks in {path.parent} do not work ({' '.join(str(error).split())}); use a --run.dir "
            "on a file system with locks, or set HDF5_USE_FILE_LOCKING=FALSE"
        ) from None
    path.unlink(missing_ok=True)


def communication(session: Session) -> Iterator[Check]:
    """Seconds of a gather of projected rows and of a side's gradients, at the configured sizes."""
    processes, config = session.processes, session.config
    if processes.world_size == 1:
        yield Check("communication", True, "one process, nothing is sent")
        return
    batch, width = config.train.batch_size, config.model.projection_dim
    dtype = network_dtype(config.train.precision)
    sizes = processes.shard_sizes(batch)
    rows = torch.ones(sizes[processes.rank], width, dtype=dtype, device=processes.device)
    side, sent = larger_side(session)
    # the same everywhere, should data sets differ
    own = -(-int(largest(processes, sent.whole_bytes)) // (dtype.itemsize * processes.world_size))
    vector = torch.ones(own * processes.world_size, dtype=dtype, device=processes.device)
    part = vector.new_empty(own)

    def reduce() -> None:
        if sent.collective == "reduce_scatter":
            reduce_scatter(part, vector)
        else:
            processes.all_reduce_sum(vector)

    gather_seconds = _median_seconds(session, lambda: processes.gather(rows, sizes))
    seconds = _median_seconds(session, reduce)
    yield Check(
        "communication",
        True,
        f"gather of {batch} x {width} in {1e3 * gather_seconds:.1f} ms; {sent.collective} of the "
        f"{side}'s gradients, {amount(sent.whole_bytes // dtype.itemsize)} numbers of "
        f"{str(dtype).removeprefix('torch.')}, {size(sent.whole_bytes)}, in {1e3 * seconds:.1f} ms",
    )


def larger_side(session: Session) -> tuple[str, Sent]:
    """The side with more parameters, and the collective that its gradients need."""
    plan, name = session.plan, session.name_in_plan
    sides = {"critic side": plan.critic_sent[name], "generator": plan.generator_sent[name]}
    gradients = {
        side: next(part for part in sent if part.purpose == "gradients")
        for side, sent in sides.items()
    }
    return max(gradients.items(), key=lambda item: item[1].whole_bytes)


def _median_seconds(session: Session, action: Callable[[], object]) -> float:
    device, seconds = session.processes.device, []
    for _ in range(REPEATS + 1):  # the first one opens connections
        largest(session.processes, 0.0)
        began = time.monotonic()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.monotonic() - began)
    return largest(session.processes, statistics.median(seconds[1:]))
