"""Many processes on one machine: what they compute, how they start, and what the first does more.

    python benchmarks/many_processes.py --out /some/folder [--processes 1 2 4 8 16 32]

Trains the digits with tiny networks over gloo and one thread a process; the batch of 131 rows, a
prime number, is uneven at every number of processes. *Losses* and *result* are the largest
difference from one process, relative, in float64: of all logged losses, and of U, S, H, T1 and
AUSUC. *Start* is wall time until the first step is logged, less one step; CPU is user and system
time, memory the most that one process had (what processes share of libraries counts in each).
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = {
    "generator_hidden": 32, "critic_hidden": 32, "embedding_dim": 32, "projection_dim": 16,
    "comparator_hidden": 16, "prototype_hidden": 16,
}  # fmt: skip


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="an empty folder; runs stay there")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=131, help="a prime number [131]")
    options = parser.parse_args(arguments)
    print(
        "| W | losses | result | start, s | step, ms | whole, s | CPU of rank 0, s | "
        "of the others, s | memory, MB |\n" + "| --- " * 9 + "|"
    )
    alone: Found | None = None
    for world_size in options.processes:
        found = train(options.out / f"w{world_size}", world_size, options)
        alone = alone or found
        rest = statistics.median(found.computing[1:] or [0.0])
        print(
            f"| {world_size} | {difference(alone.losses, found.losses):.0e} | "
            f"{difference(alone.result, found.result):.0e} | {found.start:.0f} | "
            f"{found.step:.0f} | {found.whole:.0f} | {found.computing[0]:.1f} | {rest:.1f} | "
            f"{found.memory:.0f} |",
            flush=True,
        )
    return 0


@dataclass
class Found:
    """Of one run; seconds, a step in ms, memory in MB."""

    losses: list[float]
    result: list[float]
    start: float
    step: float
    whole: float
    computing: list[float]  # CPU s of each rank
    memory: float


def train(run: Path, world_size: int, options: argparse.Namespace) -> Found:
    """Start the ranks as a launcher does, and wait; the first that fails ends this."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "gzsl_dist.train", "--run.dir", run, "--train.steps", options.steps,
        "--train.batch_size", options.batch_size, "--evaluation.selection", "fixed",
        "--evaluation.calibration", "none", "--evaluation.baseline", "none", "--log.every", 1,
    ]  # fmt: skip
    for name, width in WIDTHS.items():
        command += [f"--model.{name}", width]
    began = time.monotonic()
    ranks = [
        subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.DEVNULL,
            env=os.environ
            | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MASTER_ADDR": "localhost"}
            | {"MASTER_PORT": str(port), "WORLD_SIZE": str(world_size), "RANK": str(rank)}
            | {"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(world_size)},
        )
        for rank in range(world_size)
    ]
    metrics = run / "metrics.jsonl"
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while not metrics.exists() and not any(os.waitid(os.P_PID, r.pid, ended) for r in ranks):
        time.sleep(0.05)
    started = time.monotonic() - began
    used = []
    for rank in ranks:
        _, status, usage = os.wait4(rank.pid, 0)
        if os.waitstatus_to_exitcode(status):
            sys.exit(f"W = {world_size}: process {rank.pid} failed")
        used.append(usage)
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    result = json.loads((run / "result.json").read_text())
    return Found(
        losses=[v for line in lines for k, v in line.items() if k.endswith("_loss")],
        result=[result[name] for name in ("U", "S", "H", "T1", "AUSUC")],
        start=started - lines[0]["step_time/whole"],
        step=1e3 * statistics.median(line["step_time/whole"] for line in lines[1:]),
        whole=time.monotonic() - began,
        computing=[each.ru_utime + each.ru_stime for each in used],
        memory=max(each.ru_maxrss for each in used) * 1024 / 1e6,
    )


def difference(ones: list[float], others: list[float]) -> float:
    """The largest, relative to the value of one process."""
    pairs = zip(ones, others, strict=True)
    return max(abs(one - other) / max(abs(one), 1e-3) for one, other in pairs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
