"""A large bank for real: written by several processes, killed halfway, resumed, verified, used.

    python benchmarks/bank_scale.py --run runs/cub_cpu --out /some/disk/large.h5 --per-class 16500

Prints what each step took, its throughput, and the peak resident memory of any of its processes.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--per-class", type=int, required=True)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    write = [
        "synthesize", "--run.dir", options.run, "--out", options.out, "--per-class",
        options.per_class, "--dtype", "float16", "--embeddings",
    ]  # fmt: skip
    halves: list[int] = []

    def halfway(workers: list[int]) -> None:
        """Kill -9 one worker when half of the bytes are on the disk."""
        if halves or len(workers) < options.processes:
            return
        files = list(options.out.parent.glob(f"{options.out.stem}.*.h5"))
        sizes = [file.stat() for file in files]
        full, there = sum(s.st_size for s in sizes), sum(512 * s.st_blocks for s in sizes)
        if len(files) == options.processes and there > full / 2:
            os.kill(workers[0], signal.SIGKILL)
            halves.append(there)

    seconds = step("write until killed", write, options.processes, halfway)
    if not halves:
        sys.exit("it was finished before it could be killed; give more rows")
    print(f"  killed at {halves[0] / 1e9:.2f} GB, {halves[0] / seconds / 1e6:.0f} MB/s")
    seconds = step("resume", write, options.processes)
    size = sum(f.stat().st_size for f in options.out.parent.glob(f"{options.out.stem}.*h5"))
    print(f"  {size / 1e9:.2f} GB, the rest at {(size - halves[0]) / seconds / 1e6:.0f} MB/s")
    seconds = step("verify", ["bank", "verify", options.out], 1)
    print(f"  {size / seconds / 1e6:.0f} MB/s")
    evaluate = ["evaluate", "--run.dir", options.run, "--bank", options.out]
    step("train the classifier out of core", evaluate, options.processes)


def step(
    name: str,
    arguments: list[object],
    processes: int,
    watch: Callable[[list[int]], None] | None = None,
) -> float:
    """Run a command, watch its processes, and say what it took; returns seconds."""
    start = [sys.executable, "-m"]
    if processes > 1:
        start += ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"]
    started, peak = time.monotonic(), 0
    command = [*start, f"gzsl_dist.{arguments[0]}", *map(str, arguments[1:])]
    launcher = subprocess.Popen(command)
    while launcher.poll() is None:
        workers = children(launcher.pid) if processes > 1 else [launcher.pid]
        peak = max([peak, *map(peak_memory, workers)])
        if watch is not None:
            watch(workers)
        time.sleep(0.1)
    seconds = time.monotonic() - started
    print(f"{name}: {seconds:.1f} s, exit code {launcher.returncode}, peak memory of a process "
          f"{peak / 1024:.0f} MiB", flush=True)  # fmt: skip
    return seconds


def children(parent: int) -> list[int]:
    with suppress(OSError):
        text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        return [int(pid) for pid in text.split()]
    return []


def peak_memory(process: int) -> int:
    with suppress(OSError, IndexError):
        status = Path(f"/proc/{process}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])
    return 0


if __name__ == "__main__":
    main()
