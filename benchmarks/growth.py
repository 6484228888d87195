"""How cost grows with B, C, d_x, N and W: exponents expected beside measured, over two decades.

    python benchmarks/growth.py [--figure docs/performance_growth.png]

Times are of one thread's own computing, the lowest of some repeats. *Expected* is fitted through
operations counted at the same sizes, as *measured* is through times, by least squares on
logarithms: what is constant beside the growing part lowers both alike. Memory is counted, not
timed: what autograd keeps, from the real step without values, as the dry run has it.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import scaling
from matrix_products import critic_products

WIDTH = 256  # of hidden layers and embeddings where they are not what grows
MORE = 0.15  # an exponent larger than expected by this says that something grows too fast


@dataclass
class Line:
    """One cost against one size."""

    name: str
    size: str
    sizes: list[int]
    expected: list[float] = field(default_factory=list)
    measured: list[float] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    parser.add_argument("--figure", metavar="FILE", help="draw all lines into a PNG")
    options = parser.parse_args(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    import torch

    torch.set_num_threads(1)
    repeats = options.repeats
    lines = [
        instances(repeats),
        prototypes(repeats),
        pairs(repeats),
        step_against("B", [32, 100, 320, 1000, 3200], repeats),
        step_against("d_x", [128, 400, 1280, 4000, 12800], repeats),
        step_against("C", [20, 64, 200, 640, 2000], repeats),
        batches(repeats),
        *memory(),
    ]
    print("| cost | against | from | to | expected | measured | |\n" + "| --- " * 7 + "|")
    faster = False
    for line in lines:
        expected, measured = (exponent(line.sizes, v) for v in (line.expected, line.measured))
        high = measured > expected + MORE
        faster |= high
        print(
            f"| {line.name} | {line.size} | {line.sizes[0]} | {line.sizes[-1]} | {expected:.2f} | "
            f"{measured:.2f} | {'GROWS FASTER' if high else ''} |",
            flush=True,
        )
    if options.figure:
        draw(lines, options.figure)
    return int(faster)


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope of the least-squares line through logarithms."""
    xs, ys = [math.log(x) for x in sizes], [math.log(y) for y in values]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    over = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return over / sum((x - x_mean) ** 2 for x in xs)


def lowest(action: Callable[[], Any], repeats: int) -> float:
    """Milliseconds of an action, the lowest of some; it runs until the clock can tell."""
    action()
    found = []
    for _ in range(repeats):
        started, times = time.process_time(), 0
        while (spent := time.process_time() - started) < 0.02:
            action()
            times += 1
        found.append(1e3 * spent / times)
    return min(found)


def instances(repeats: int) -> Line:
    import torch

    from gzsl_dist.losses.instance import instance_loss

    line = Line("instance loss and gradient", "B", [40, 128, 400, 1280, 4000])
    for rows in line.sizes:
        units = unit_vectors(rows)
        labels = torch.arange(rows) % 10

        def run(units: Any = units, labels: Any = labels) -> None:
            instance_loss(units, labels, margin=0.25, scale=10).backward()

        line.measured.append(lowest(run, repeats))
        line.expected.append(rows**2)
    return line


def prototypes(repeats: int) -> Line:
    import torch

    from gzsl_dist.losses.prototype import prototype_loss

    line = Line("prototype loss and gradient, B = 256", "C", [200, 640, 2000, 6400, 20000])
    units, labels = unit_vectors(256), torch.arange(256) % 200
    for classes in line.sizes:
        anchors = unit_vectors(classes)

        def run(anchors: Any = anchors) -> None:
            prototype_loss(units, labels, anchors, margin=0.25, scale=10).backward()

        line.measured.append(lowest(run, repeats))
        line.expected.append(classes)
    return line


def pairs(repeats: int) -> Line:
    import torch

    from gzsl_dist.models.comparator import pair_scores

    line = Line("comparator's pairs and gradient, B = 64", "C", [20, 64, 200, 640, 2000])
    weight = torch.randn(WIDTH, requires_grad=True)
    rows = unit_vectors(64)
    for classes in line.sizes:
        others = unit_vectors(classes)

        def run(others: Any = others) -> None:
            pair_scores(rows, others, weight).sum().backward()

        line.measured.append(lowest(run, repeats))
        line.expected.append(classes)
    return line


def unit_vectors(count: int) -> Any:
    import torch

    values = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(count))
    return torch.nn.functional.normalize(values).requires_grad_(True)


def step_against(size: str, sizes: list[int], repeats: int) -> Line:
    """A critic step of `iapc`; its operations are matrix products and blocks of similarities."""
    import torch

    from gzsl_dist.distributed.processes import DistributedContext
    from gzsl_dist.distributed.strategies import LocalStrategy
    from gzsl_dist.training.trainer import Trainer

    line = Line("critic step (iapc)", size, sizes)
    for value in sizes:
        shape = shapes(**{size: value})
        config = configuration(shape.batch)
        alone = DistributedContext(0, 1, torch.device("cpu"))
        trainer = Trainer(scaling.problem(shape), config, alone, LocalStrategy())
        fake = trainer.synthesize(batch := trainer.draw(0))

        def run(trainer: Any = trainer, batch: Any = batch, fake: Any = fake) -> None:
            trainer.critic_side.step(batch, fake)

        line.measured.append(lowest(run, repeats))
        line.expected.append(operations(config, shape))
    return line


def operations(config: Any, shape: Any) -> float:
    """Of matrix products (without synthesis, which is not timed) and similarity blocks."""
    products = critic_products(config, shape, shape.batch)
    counted = sum(p.flops for p in products if not p.name.startswith("generator"))
    blocks = 3 * 2 * shape.batch * WIDTH * shape.classes * bool(config.loss.critic.comparator)
    return float(counted + blocks)


def batches(repeats: int) -> Line:
    """Drawing a batch: a row is read, whatever the number of rows."""
    import torch

    from gzsl_dist.data.batches import BatchSource

    line = Line("drawing a batch of 64", "N", [1000, 3200, 10000, 32000, 100000])
    for count in line.sizes:
        problem = scaling.problem(shapes(N=count, d_x=128))
        source = BatchSource(
            problem.train,
            batch_size=64,
            slots=slice(0, 64),
            noise_dim=64,
            seed=0,
            device=torch.device("cpu"),
        )
        line.measured.append(lowest(partial(source.batch, 0), repeats))
        line.expected.append(1.0)
    return line


def memory() -> list[Line]:
    """What autograd keeps of a critic step on one of W processes, where its blocks are the most."""
    from gzsl_dist.config.sizes import DataShape
    from gzsl_dist.planning.tracing import trace

    by_processes = Line("memory kept, B = 4096", "W", [1, 3, 10, 32, 100])
    by_rows = Line("memory kept, W = 1", "B", [128, 400, 1280, 4000, 12800])
    for line, sizes in (
        (by_processes, [(4096, world_size) for world_size in by_processes.sizes]),
        (by_rows, [(rows, 1) for rows in by_rows.sizes]),
    ):
        for rows, world_size in sizes:
            config = configuration(rows, width=8, comparator=0.0)
            traced = trace(config, DataShape(32, 8, 8, rows), world_size)
            line.measured.append(traced.critic.activations)
            line.expected.append(rows**2 / world_size)
    return [by_processes, by_rows]


def shapes(B: int = 256, C: int = 64, d_x: int = 512, N: int = 4096) -> argparse.Namespace:
    """Sizes as `scaling.problem` and `matrix_products` take them, and the batch."""
    return argparse.Namespace(
        batch=B, feature_dim=d_x, semantic_dim=WIDTH, classes=C, rows=max(N, B)
    )


def configuration(batch: int, *, width: int = WIDTH, comparator: float | None = None) -> Any:
    from gzsl_dist.config import Config

    names = ("generator_hidden", "critic_hidden", "embedding_dim", "comparator_hidden")
    sizes = dict.fromkeys((*names, "projection_dim", "prototype_hidden", "noise_dim"), width)
    sides = {} if comparator is None else {"comparator": comparator}
    values = {"method": "iapc", "model": sizes, "train": {"batch_size": batch}}
    return Config.model_validate(values | {"loss": {"critic": sides, "generator": sides}})


def draw(lines: list[Line], path: str) -> None:
    """All lines, each divided by its first value, with what is expected dashed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 4
    count = -(-len(lines) // columns)
    figure, axes = pyplot.subplots(count, columns, figsize=(3 * columns, 2.6 * count))
    for axis, line in zip(axes.flat, lines, strict=False):
        for values, style, label in (
            (line.measured, "o-", "measured"),
            (line.expected, "--", "expected"),
        ):
            axis.loglog(line.sizes, [value / values[0] for value in values], style, label=label)
        axis.set_title(line.name, fontsize=8)
        axis.set_xlabel(line.size)
        axis.tick_params(labelsize=7)
    for axis in axes.flat[len(lines) :]:
        axis.axis("off")
    axes.flat[0].legend(fontsize=7)
    figure.supylabel("cost, that of the smallest size = 1", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.path.insert(0, str(scaling.ROOT))
    sys.exit(main(sys.argv[1:]))
