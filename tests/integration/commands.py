"""Run the commands in processes of their own: forked ones, and by `run_program` really started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..forked import Forked

ROOT = Path(__file__).parents[2]
STOPPING = Path(__file__).with_name("stopping.py")
PATIENCE = 300  # seconds until a test gives up; machines of CI are slow and busy
SMALL = (
    "--config",
    str(ROOT / "configs" / "digits.yaml"),
    "--evaluation.folds",
    "1",
    "--train.steps",
    "12",
    "--train.batch_size",
    "32",
    "--log.every",
    "3",
    "--checkpoint.every",
    "5",
    "--evaluation.every",
    "12",  # each time pictures are drawn, which takes longer than the steps
    "--evaluation.rows_per_class",
    "20",
    "--evaluation.iterations",
    "20",
)


def run(
    module: str, *arguments: object, processes: int = 1, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """``python -m gzsl_dist.<module>`` as one process, or as the processes of a job."""
    return run_job(["-m", f"gzsl_dist.{module}", *arguments], processes, timeout)


def run_program(
    module: str, *arguments: object, processes: int = 1, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Really start ``python -m gzsl_dist.<module>``, under torchrun for more than one process."""
    return subprocess.run(
        command(module, *arguments, processes=processes),
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        env=environment(),
        check=False,
    )


def run_stopped(
    call: int, signal: str, *arguments: object, processes: int = 1
) -> subprocess.CompletedProcess[str]:
    """Train with a signal to one process before a training step; see `stopping`."""
    return run_job([STOPPING, call, signal, *arguments], processes)


def run_program_stopped(
    call: int, signal: str, *arguments: object, processes: int = 1
) -> subprocess.CompletedProcess[str]:
    """The same, really started, under torchrun for more than one process."""
    start = command("train", processes=processes)[:-2]  # without -m gzsl_dist.train
    return subprocess.run(
        [*start, str(STOPPING), str(call), signal, *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, check=False,
        env=environment() | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def run_job(
    program: Sequence[object], processes: int = 1, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """What would follow ``python``, forked: the first exit code that is not 0, and all output."""
    if processes == 1:
        return start(program).end(timeout)
    ended = run_apart([ROOT] * processes, program, timeout)
    code = next((each.returncode for each in ended if each.returncode), 0)
    texts = ("".join(getattr(each, name) for each in ended) for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess(ended[0].args, code, *texts)


def start(program: Sequence[object], folder: Path = ROOT, **variables: str) -> Forked:
    """Start what would follow ``python``, with variables beside those of the tests."""
    return Forked(program, folder, environment() | variables)


def command(module: str, *arguments: object, processes: int = 1) -> list[str]:
    start = [sys.executable, "-m"]
    if processes > 1:
        start += ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"]
    return [*start, f"gzsl_dist.{module}", *map(str, arguments)]


def environment() -> dict[str, str]:
    launched = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID", "SLURM_NTASKS")
    kept = {key: value for key, value in os.environ.items() if key not in launched}
    return kept | {"OMP_NUM_THREADS": "1"}


def error_line(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """The one line that a failed command printed on stderr."""
    assert done.returncode == code, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def start_job(folders: Sequence[Path], program: Sequence[object]) -> list[Forked]:
    """Start a program as the processes of one job, each in a working folder of its own.

    Relative paths then mean other files to each, as on machines without shared storage.

    Args:
        folders: working folder of each process.
        program: what would follow ``python``.
    """
    size = str(len(folders))
    shared = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, **meeting_point()}
    return [
        start(program, folder, **shared, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank, folder in enumerate(folders)
    ]


def meeting_point() -> dict[str, str]:
    """Variables that name a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}


def run_apart(
    folders: Sequence[Path], program: Sequence[object], timeout: float = PATIENCE
) -> list[subprocess.CompletedProcess[str]]:
    """The processes of `start_job` at their ends, each at most `timeout` seconds after the last."""
    started = start_job(folders, program)
    try:
        return [process.end(timeout) for process in started]
    finally:
        for process in started:
            process.kill()
