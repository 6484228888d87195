"""Run the real commands in processes of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
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
    "6",
    "--evaluation.rows_per_class",
    "20",
    "--evaluation.iterations",
    "20",
)


def run(
    module: str, *arguments: object, processes: int = 1, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m gzsl_dist.<module>``, under torchrun for more than one process."""
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
    program = command("train", processes=processes)[:-2]  # without -m gzsl_dist.train
    return subprocess.run(
        [*program, str(Path(__file__).with_name("stopping.py")), str(call), signal,
         *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, check=False,
        env=environment() | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


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


def run_apart(
    folders: Sequence[Path], program: Sequence[object], timeout: float = PATIENCE
) -> list[subprocess.CompletedProcess[str]]:
    """Run a program as the processes of one job, each in a working folder of its own.

    Relative paths then mean other files to each, as on machines without shared storage.

    Args:
        folders: working folder of each process.
        program: what follows ``python``.
        timeout: seconds.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = environment() | {
        "PYTHONPATH": str(ROOT),
        "WORLD_SIZE": str(len(folders)),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    started = [
        subprocess.Popen(
            [sys.executable, *map(str, program)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank, folder in enumerate(folders)
    ]
    try:
        told = [process.communicate(timeout=timeout) for process in started]
    finally:
        for process in started:
            process.kill()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *texts)
        for process, texts in zip(started, told, strict=True)
    ]
