"""Peak memory and time of a step by train.micro_batch_size (GradCache), in one run.

    python benchmarks/micro_batches.py [--batch-size 4096] [--micro-batch-size 1024 256 64]

Random data of CUB's shapes go through the real critic steps and generator step on one process of
one thread. Memory is the growth of the process's peak over what it holds when networks, Adam's
moments and data are in place.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from typing import Any

import scaling


def main(arguments: list[str]) -> int:
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=4096, metavar="N")
    parser.add_argument(
        "--micro-batch-size", type=int, nargs="+", default=[1024, 256, 64], metavar="N"
    )
    parser.add_argument("--steps", type=int, default=2, metavar="N")
    options = parser.parse_args(arguments)
    print(f"batch {options.batch_size}; growth of the peak; seconds a step, median")
    whole: tuple[float, float] | None = None
    context = multiprocessing.get_context("spawn")
    for micro in (None, *options.micro_batch_size):
        with context.Pool(1) as pool:  # a process of its own: a peak never falls again
            memory, seconds = pool.apply(measure, (options, micro))
        whole = whole or (memory, seconds)
        print(
            f"{'whole' if micro is None else micro:>6}: {memory / 1e6:7.0f} MB, "
            f"{memory / whole[0]:5.2f} of whole; {seconds:6.2f} s, {seconds / whole[1]:.2f} times"
        )
    return 0


def measure(options: argparse.Namespace, micro: int | None) -> tuple[float, float]:
    import torch

    from gzsl_dist.distributed.processes import DistributedContext
    from gzsl_dist.distributed.strategies import LocalStrategy
    from gzsl_dist.monitoring.throughput import peak_bytes
    from gzsl_dist.training.trainer import Trainer

    torch.set_num_threads(1)
    shapes = scaling.parse(["--batch-size", str(options.batch_size), "--strategy", "ddp"])
    shapes.rows = options.batch_size

    def trainer_of(batch_size: int) -> Any:
        shapes.batch_size = batch_size
        config = scaling.configuration(shapes, "ddp", 1)
        train = config.train.model_copy(update={"micro_batch_size": micro})
        config = config.model_copy(update={"train": train})
        alone = DistributedContext(0, 1, torch.device("cpu"))
        return Trainer(scaling.problem(shapes), config, alone, LocalStrategy())

    small = trainer_of(32)
    small.train_step(0)
    trainer = trainer_of(options.batch_size)
    states = {name: side.state_dict() for name, side in small.sides.items()}
    for name, side in trainer.sides.items():
        side.load_state_dict(states[name])
    before = peak_bytes()
    times = []
    for step in range(options.steps):
        started = time.perf_counter()
        trainer.train_step(step)
        times.append(time.perf_counter() - started)
    return peak_bytes() - before, statistics.median(times)


if __name__ == "__main__":
    sys.path.insert(0, str(scaling.ROOT))
    sys.exit(main(sys.argv[1:]))
