"""Peak memory of a step beside that of the published form, each in a process of its own.

    python benchmarks/memory.py [--shape cub] [--batch-size 128]

Growth of the process's peak over what it holds when networks, Adam's moments and data are in place.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable

import scaling
import step


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="cub", choices=list(step.SHAPES))
    parser.add_argument("--batch-size", type=int, nargs="+", default=[128], metavar="N")
    parser.add_argument(
        "--method", nargs="+", default=["ce_gzsl"], choices=["wgan", "ce_gzsl", "iapc"]
    )
    parser.add_argument("--published", action="store_true", help="of ce_gzsl: that form as well")
    options = parser.parse_args(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    print(f"{options.shape}, MB\n\n| method | B | side | step | published | times |")
    print("| --- " * 6 + "|")
    for method in options.method:
        for batch in options.batch_size:
            for side in ("critic", "generator"):
                ours = in_process(options.shape, method, batch, side, False) / 1e6
                cells = f"| {method} | {batch} | {side} | {ours:.0f} |"
                if options.published and method == "ce_gzsl":
                    theirs = in_process(options.shape, method, batch, side, True) / 1e6
                    cells += f" {theirs:.0f} | {theirs / ours:.1f} |"
                else:
                    cells += " - | - |"
                print(cells, flush=True)
    return 0


def in_process(*arguments: object) -> int:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(growth, arguments)  # a peak never falls again


def growth(name: str, method: str, batch: int, side: str, published: bool) -> int:
    """Bytes by which a step raises the peak, after one of two rows made Adam's moments."""
    import dataclasses

    import torch

    from gzsl_dist.config import Config
    from gzsl_dist.distributed.processes import DistributedContext
    from gzsl_dist.distributed.strategies import LocalStrategy
    from gzsl_dist.monitoring.throughput import peak_bytes
    from gzsl_dist.training.trainer import Trainer

    torch.set_num_threads(1)
    sizes = step.SMALL if name == "cub_cpu" else {}
    config = Config.model_validate(
        {"method": method, "model": sizes, "train": {"batch_size": batch}}
    )
    problem = scaling.problem(step.shape_of(name, batch))
    trainer = Trainer(
        problem, config, DistributedContext(0, 1, torch.device("cpu")), LocalStrategy()
    )
    run: Callable[[int], object] = trainer.critic_step
    if side == "generator":
        run = trainer.generator_step
    if published:
        run = step.published_step(trainer, config, side)
    whole = trainer.draw(0)
    fields = dataclasses.asdict(whole)
    small = type(whole)(**{field: values[:2] for field, values in fields.items()})
    trainer.draw = lambda number: whole if number else small  # type: ignore[method-assign]
    run(0)
    before = peak_bytes()
    run(1)
    return peak_bytes() - before


if __name__ == "__main__":
    sys.path.insert(0, str(scaling.ROOT))
    sys.exit(main(sys.argv[1:]))
