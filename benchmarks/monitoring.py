"""What watching costs: logging and looking, as a share of the training steps between, in one run.

    python benchmarks/monitoring.py [--steps 20]

Random data of CUB's shapes, `configs/cub_cpu.yaml`'s networks, one process and thread. By default a
line is logged every 10 steps and the networks are looked at (diagnostics, histograms, pictures)
every 100; so 100 steps pay for ten lines and one look. Steps, lines and looks alternate.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import scaling


def main(arguments: list[str]) -> int:
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=20, metavar="N")
    parser.add_argument("--batch-size", type=int, default=256, metavar="N")
    options = parser.parse_args(arguments)
    import torch

    from gzsl_dist.config import LogSettings
    from gzsl_dist.distributed.processes import DistributedContext
    from gzsl_dist.distributed.strategies import LocalStrategy
    from gzsl_dist.monitoring.metric_logger import DiagnosticsLog, MetricLogger
    from gzsl_dist.monitoring.throughput import Throughput
    from gzsl_dist.training.callbacks import Training, following
    from gzsl_dist.training.loop import PendingLosses
    from gzsl_dist.training.trainer import Trainer

    torch.set_num_threads(1)
    shapes = scaling.parse(["--batch-size", str(options.batch_size), "--strategy", "ddp"])
    config = scaling.configuration(shapes, "ddp", 1)
    alone = DistributedContext(0, 1, torch.device("cpu"))
    problem = scaling.problem(shapes)
    trainer = Trainer(problem, config, alone, LocalStrategy(clock=alone.clock))
    pending = PendingLosses(alone, 1, [])
    metric_logger = MetricLogger(alone)
    diagnostics = DiagnosticsLog(problem, 0, config.loss.prototype.margin, metric_logger, alone)
    throughput = Throughput(config.train, alone)
    each = [throughput, metric_logger, diagnostics]
    steps, lines, looks = [], [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        following(each, Training("", Path(folder), {}, options.steps, 0)),
    ):
        for step in range(1, options.steps + 1):

            def train(step: int = step) -> None:
                pending.parts.append(trainer.train_step(step))

            def line(step: int = step) -> None:
                metric_logger.log(step, pending.collect() | throughput.metrics(step))

            def look(step: int = step) -> None:
                networks = trainer.consolidated_networks()
                metric_logger.log(step, diagnostics.evaluated(step, networks, None))

            steps.append(seconds(train))
            lines.append(seconds(line))
            if step % 4 == 0:
                looks.append(seconds(look))
    every = LogSettings().every
    step_time, line_time, look_time = (statistics.median(part) for part in (steps, lines, looks))
    share = (100 / every * line_time + look_time) / (100 * step_time)
    print(
        f"a step {step_time:.3f} s, a line {1000 * line_time:.1f} ms,"
        f" a look {look_time:.2f} s (medians)"
    )
    print(f"share of the time of 100 steps: {share:.2%} (goal: below 3 %)")
    return 0


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.path.insert(0, str(scaling.ROOT))
    sys.exit(main(sys.argv[1:]))
