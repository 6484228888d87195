"""Critic step and generator step beside their matrix products alone and the published form.

    python benchmarks/step.py [--method ce_gzsl] [--shape cub] [--batch-size 128 512] [--json FILE]

Real steps of the trainer (batch, forward, backward, optimizer) on random data, one process. The
*floor* is the matrix products that the step's mathematics needs, run alone at the same shapes
(`benchmarks/matrix_products.py`, counted in docs/performance.md). *Pairs* are the vector operations
of the comparator's rows and classes, alone and on blocks in a cache; *both* is floor and pairs. The
*published form* is CE-GZSL as its paper has it (`benchmarks/published_ce_gzsl.py`). Repeats are
interleaved, so that what else the machine does falls on all alike; ratios are of neighbours, then
their median.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scaling
from matrix_products import critic_products, generator_products, pair_runner, runner

SHAPES = {  # features, semantics, seen classes
    "cub": (2048, 1024, 150),
    "awa2": (2048, 85, 40),
    "sun": (2048, 102, 645),
    "large": (2048, 512, 20000),
    "cub_cpu": (4096, 1024, 150),
}
SMALL = {"generator_hidden": 1024, "critic_hidden": 1024, "comparator_hidden": 1024}
GOAL = 1.25
PUBLISHED_GOALS = {128: 10.0, 512: 20.0}


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    os.environ |= {"OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
    import torch

    torch.set_num_threads(options.threads)
    print(
        f"{options.precision}, {options.device}, {options.threads} thread(s), {options.clock} time;"
        f" milliseconds, median (lowest to highest) of {options.repeats}\n\n{HEADER}",
        flush=True,
    )
    found = []
    for shape in options.shape:
        for method in options.method:
            for batch in options.batch_size:
                for figures in measure(options, shape, method, batch):
                    found.append(figures)
                    print(as_line(figures), flush=True)
    if options.json:
        settings = {key: value for key, value in vars(options).items() if key != "json"}
        text = json.dumps({"settings": settings, "steps": found}, indent=1)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks/step.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    methods = ["wgan", "ce_gzsl", "iapc"]
    parser.add_argument("--method", nargs="+", default=methods, choices=methods)
    parser.add_argument(
        "--shape",
        nargs="+",
        default=["cub"],
        choices=list(SHAPES),
        help="data set whose sizes are taken; cub_cpu also takes configs/cub_cpu.yaml's networks",
    )
    parser.add_argument("--batch-size", type=int, nargs="+", default=[128, 512], metavar="N")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument(
        "--clock",
        default="wall",
        choices=["wall", "cpu"],
        help="cpu: what this process computed itself; for one thread on a machine that others use",
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    parser.add_argument(
        "--comparator-sample", type=int, default=0, metavar="N", help="loss.comparator_sample"
    )
    parser.add_argument("--published", action="store_true", help="time the published form as well")
    parser.add_argument(
        "--memory", type=float, default=8.0, metavar="GIB", help="what its pairs may take [8]"
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures to a file")
    options = parser.parse_args(arguments)
    if options.clock == "cpu" and (options.threads > 1 or options.device != "cpu"):
        parser.error("--clock cpu: of one thread on a CPU only")
    return options


def measure(
    options: argparse.Namespace, name: str, method: str, batch: int
) -> list[dict[str, Any]]:
    """Figures of both sides' steps for one shape, method and batch size."""
    import torch

    from gzsl_dist.config import Config
    from gzsl_dist.distributed.processes import DistributedContext
    from gzsl_dist.distributed.strategies import LocalStrategy
    from gzsl_dist.training.trainer import Trainer

    shape = shape_of(name, batch)
    config = Config.model_validate(
        {
            "method": method,
            "model": SMALL if name == "cub_cpu" else {},
            "train": {"batch_size": batch, "precision": options.precision},
            "loss": {"comparator_sample": options.comparator_sample},
        }
    )
    device = torch.device(options.device)
    trainer = Trainer(
        scaling.problem(shape), config, DistributedContext(0, 1, device), LocalStrategy()
    )
    dtype = torch.bfloat16 if options.precision == "bfloat16" else torch.float32
    sides = {
        "critic": (trainer.critic_step, critic_products),
        "generator": (trainer.generator_step, generator_products),
    }
    found = []
    for side, (step, count) in sides.items():
        products = count(config, shape, batch)
        tasks = {"step": step, "floor": no_draw(runner(products, device, dtype))}
        vectors = pair_runner(config, shape, batch, side, device)
        if vectors is not None:
            tasks["pairs"] = no_draw(vectors)
        if options.published and method == "ce_gzsl":
            inputs = batch * shape.classes * (config.model.embedding_dim + shape.semantic_dim)
            if 16 * inputs <= options.memory * 2**30:  # inputs, hidden layer, their gradients
                tasks["published"] = published_step(trainer, config, side)
        times = timed(options, tasks)
        figures: dict[str, Any] = {
            "shape": name,
            "method": method,
            "batch_size": batch,
            "side": side,
            "gigaflops_of_floor": sum(product.flops for product in products) / 1e9,
        }
        for task, seconds in times.items():
            figures[task] = scaling.spread([1e3 * value for value in seconds])
        figures["to_floor"] = ratio(times["step"], times["floor"])
        both = zip(times["floor"], times.get("pairs", [0.0] * options.repeats), strict=True)
        figures["to_both"] = ratio(times["step"], [products + pairs for products, pairs in both])
        if "published" in times:
            figures["published_to_step"] = ratio(times["published"], times["step"])
        found.append(figures)
    return found


def shape_of(name: str, batch: int) -> argparse.Namespace:
    """Sizes as `scaling.problem` takes them."""
    features, semantics, classes = SHAPES[name]
    return argparse.Namespace(
        feature_dim=features, semantic_dim=semantics, classes=classes, rows=max(2048, batch)
    )


def no_draw(run: Callable[[], None]) -> Callable[[int], None]:
    return lambda draw: run()


def published_step(trainer: Any, config: Any, side: str) -> Callable[[int], None]:
    """A step of the published form, with Adam as torch has it by default."""
    import torch
    from published_ce_gzsl import PublishedForm

    form = PublishedForm(trainer.networks, config, trainer.semantics)
    parameters = form.side(side)
    if side == "generator":
        form.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(parameters, lr=1e-4, betas=(0.5, 0.999))
    loss_of = form.critic_loss if side == "critic" else form.generator_loss

    def step(draw: int) -> None:
        precise = torch.autocast(
            trainer.semantics.device.type,
            torch.bfloat16,
            enabled=config.train.precision == "bfloat16",
        )
        with precise:
            loss = loss_of(trainer.draw(draw))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def timed(
    options: argparse.Namespace, tasks: dict[str, Callable[[int], Any]]
) -> dict[str, list[float]]:
    """Seconds of every task, in turns; the first turn warms up and does not count."""
    import torch

    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(options.repeats + 1):
        for name, task in tasks.items():
            if options.device == "cuda":
                torch.cuda.synchronize()
            started = clock()
            task(turn)
            if options.device == "cuda":
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(clock() - started)
    return seconds


def ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


HEADER = (
    "| shape | method | B | side | step | floor | to floor | pairs | to both | published |"
    " times a step |\n" + "| --- " * 11 + "|"
)


def as_line(figures: dict[str, Any]) -> str:
    def spread(name: str) -> str:
        found = figures.get(name)
        if found is None:
            return "-"
        return f"{found['median']:.0f} ({found['low']:.0f} to {found['high']:.0f})"

    published = figures.get("published_to_step")
    cells = [figures[name] for name in ("shape", "method", "batch_size", "side")]
    cells += [spread("step"), spread("floor"), f"{figures['to_floor']:.2f}"]
    cells += [spread("pairs"), f"{figures['to_both']:.2f}"]
    cells += [spread("published"), f"{published:.1f}" if published else "-"]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.path.insert(0, str(scaling.ROOT))
    sys.exit(main(sys.argv[1:]))
