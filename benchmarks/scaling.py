"""Rows a second on 1 and 2 processes of one thread each, for every strategy, in one run.

    python benchmarks/scaling.py [--batch-size 512] [--precision float32] [--json]

Random data of CUB's shapes go through the real training step (critic steps and generator step).
Every figure comes from processes of its own; repeats are interleaved, so that what else the machine
does falls on all alike. Rows a second are rows of the global batch by whole steps, as in
``throughput/rows_per_second``. At one process, ddp is the plain single-process training.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
STRATEGIES = ("ddp", "zero0", "zero1", "zero2", "zero3")
# What sending costs: DDP whose gradients stay at home, or go in half of the bytes, rounded.
INEXACT = ("ddp-unsent", "ddp-bfloat16")
GOAL = 1.75


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    # before torch starts its threads, here and in the processes started from here
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "0"}
    figures: dict[str, dict[int, list[dict[str, float]]]] = {
        strategy: {world_size: [] for world_size in options.world_size}
        for strategy in options.strategy
    }
    for repeat in range(options.repeats):
        for strategy in options.strategy:
            for world_size in options.world_size:
                figure = measure(options, strategy, world_size)
                figures[strategy][world_size].append(figure)
                print(
                    f"repeat {repeat + 1}: {strategy}, {world_size} process(es): "
                    f"{figure['rows_per_second']:.0f} rows/s",
                    file=sys.stderr,
                )
    summary = summarize(options, figures)
    print(json.dumps(summary, indent=2) if options.json else as_text(options, summary))
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks/scaling.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    integer: Any = {"type": int, "metavar": "N"}
    parser.add_argument("--config", default=str(ROOT / "configs" / "cub_cpu.yaml"), metavar="FILE")
    parser.add_argument("--method", help="another method than the configuration's")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--batch-size", default=512, **integer)
    parser.add_argument("--feature-dim", default=4096, help="d_x [4096]", **integer)
    parser.add_argument("--semantic-dim", default=1024, help="d_a [1024]", **integer)
    parser.add_argument("--classes", default=150, help="seen classes [150]", **integer)
    parser.add_argument("--rows", default=2048, help="training rows [2048]", **integer)
    for name in ("generator", "critic", "comparator", "prototype"):
        parser.add_argument(
            f"--{name}-hidden", help="hidden width [the configuration's]", **integer
        )
    parser.add_argument("--embedding-dim", help="size of h [the configuration's]", **integer)
    parser.add_argument("--critic-steps", help="[the configuration's]", **integer)
    parser.add_argument("--world-size", default=[1, 2], nargs="+", **integer)
    parser.add_argument(
        "--strategy", default=list(STRATEGIES), nargs="+", choices=[*STRATEGIES, *INEXACT]
    )
    parser.add_argument("--steps", default=3, help="whole steps timed in a repeat [3]", **integer)
    parser.add_argument("--warm-up", default=2, help="whole steps before [2]", **integer)
    parser.add_argument("--repeats", default=5, **integer)
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    options = parser.parse_args(arguments)
    of_ddp = [each for each in options.strategy if each.startswith("ddp")]
    if importlib.util.find_spec("deepspeed") is None and options.strategy != of_ddp:
        print("DeepSpeed is not installed: ddp only", file=sys.stderr)
        options.strategy = of_ddp or ["ddp"]
    return options


def measure(options: argparse.Namespace, strategy: str, world_size: int) -> dict[str, float]:
    """The slowest process's figures, from new processes."""
    from torch.multiprocessing.spawn import spawn

    with tempfile.TemporaryDirectory() as folder:
        spawn(work, args=(options, strategy, world_size, folder), nprocs=world_size)
        found = [json.loads((Path(folder) / f"{rank}").read_text()) for rank in range(world_size)]
    slowest: dict[str, float] = min(found, key=lambda figure: figure["rows_per_second"])
    return slowest


def work(
    rank: int, options: argparse.Namespace, strategy: str, world_size: int, folder: str
) -> None:
    """Train on one process and write what was measured."""
    os.dup2(2, 1)  # DeepSpeed prints to stdout, which is for the result
    import warnings

    warnings.filterwarnings("ignore")
    import torch
    import torch.distributed as dist

    from gzsl_dist.distributed.choose_strategy import choose_strategy
    from gzsl_dist.distributed.processes import DistributedContext
    from gzsl_dist.training.trainer import Trainer

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world_size), "LOCAL_RANK": str(rank)}
    if world_size > 1:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/rendezvous",
            rank=rank,
            world_size=world_size,
            timeout=timedelta(seconds=300),
        )
    processes = DistributedContext(rank, world_size, torch.device("cpu"))
    config = configuration(options, strategy, world_size)
    chosen = choose_strategy(config.train, processes)
    trainer = Trainer(problem(options), config, processes, chosen)
    if strategy in INEXACT and world_size > 1:
        for side in trainer.sides.values():
            send_less(getattr(side, "objective"), strategy)  # noqa: B009  # of LocalEngine
    for step in range(options.warm_up):
        trainer.train_step(step)
    if world_size > 1:
        dist.barrier()
    started = time.perf_counter()
    for step in range(options.warm_up, options.warm_up + options.steps):
        trainer.train_step(step)
    if world_size > 1:
        dist.barrier()
    seconds = time.perf_counter() - started
    figure = {
        "rows_per_second": options.steps * config.train.batch_size / seconds,
        "communication": communication(trainer, options.warm_up + options.steps),
    }
    (Path(folder) / str(rank)).write_text(json.dumps(figure))
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def send_less(objective: Any, strategy: str) -> None:
    """Let DDP leave gradients where they are, or send them in bfloat16."""
    import torch
    import torch.distributed as dist

    Future = torch.futures.Future[torch.Tensor]

    def at_home(whole: torch.Tensor) -> Future:
        future: Future = torch.futures.Future()
        future.set_result(whole)
        return future

    def in_half(whole: torch.Tensor) -> Future:
        half = (whole / dist.get_world_size()).bfloat16()
        sent: Future = dist.all_reduce(half, async_op=True).get_future()
        return sent.then(lambda _: whole.copy_(half))

    send = at_home if strategy == "ddp-unsent" else in_half
    # a lambda, for DDP takes annotations that are text for wrong ones
    objective.register_comm_hook(None, lambda state, bucket: send(bucket.buffer()))


def communication(trainer: Any, step: int) -> float:
    """Share of one more step's time in which a collective is under way.

    Waiting for a slower process counts, and so does what overlaps with computing (DDP).
    """
    from torch.profiler import ProfilerActivity, profile

    started = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
        trainer.train_step(step)
        seconds = time.perf_counter() - started
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.name.startswith("gloo:")
    )
    under_way, reached = 0.0, float("-inf")
    for start, end in spans:  # overlapping ones count once
        under_way += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return under_way / 1e6 / seconds


def configuration(options: argparse.Namespace, strategy: str, world_size: int) -> Any:
    """The configuration file's settings, and those of the options."""
    from gzsl_dist.config import Config
    from gzsl_dist.config.files import read_yaml
    from gzsl_dist.config.nested import merge

    names = ("generator_hidden", "critic_hidden", "comparator_hidden", "prototype_hidden")
    sizes = {name: getattr(options, name) for name in (*names, "embedding_dim")}
    train: dict[str, Any] = {"batch_size": options.batch_size, "precision": options.precision}
    if options.critic_steps:
        train["critic_steps"] = options.critic_steps
    if strategy.startswith("ddp"):
        train["strategy"] = "auto"  # single at one process
    else:
        file = ROOT / "configs" / "deepspeed" / f"{strategy}.yaml"
        train |= {"strategy": "deepspeed", "deepspeed_config": str(file)}
    values: dict[str, Any] = {
        "model": {name: size for name, size in sizes.items() if size},
        "train": train,
    }
    if options.method:
        values["method"] = options.method
    return Config.model_validate(merge(read_yaml(Path(options.config)), values))


def problem(options: argparse.Namespace) -> Any:
    """Random rows and semantics of the wanted shapes."""
    import numpy as np
    import torch

    from gzsl_dist.data.problem import Problem, Rows
    from gzsl_dist.data.scaling import Scaling

    draw = torch.Generator().manual_seed(0)
    features = torch.rand(options.rows, options.feature_dim, generator=draw)
    labels = torch.randint(options.classes, (options.rows,), generator=draw)
    nothing = Rows(features[:0], labels[:0])
    semantics = torch.randn(options.classes, options.semantic_dim, generator=draw)
    return Problem(
        train=Rows(features, labels),
        seen=nothing,
        unseen=nothing,
        semantics=8 * torch.nn.functional.normalize(semantics),
        seen_count=options.classes,
        classes=np.arange(options.classes),
        scaling=Scaling.fit(features[:2].numpy(), "none"),
        note="random",
        names=tuple(map(str, range(options.classes))),
    )


def summarize(
    options: argparse.Namespace, figures: dict[str, dict[int, list[dict[str, float]]]]
) -> dict[str, Any]:
    """Medians and spreads; ratios are of the repeats' neighbours, then their median."""
    result: dict[str, Any] = {
        "settings": {key: value for key, value in vars(options).items() if key != "json"},
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "goal": GOAL,
        "strategies": {},
    }
    smallest = min(options.world_size)
    for strategy, by_size in figures.items():
        rates = {
            size: [figure["rows_per_second"] for figure in found] for size, found in by_size.items()
        }
        result["strategies"][strategy] = {
            str(size): {
                "rows_per_second": spread(rates[size]),
                "communication": spread([figure["communication"] for figure in by_size[size]]),
                "ratio": spread(
                    [many / one for many, one in zip(rates[size], rates[smallest], strict=True)]
                ),
            }
            for size in options.world_size
        }
    return result


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def as_text(options: argparse.Namespace, summary: dict[str, Any]) -> str:
    lines = [
        f"batch {options.batch_size}, d_x {options.feature_dim}, d_a {options.semantic_dim}, "
        f"{options.classes} classes, {options.precision}, {Path(options.config).name}; "
        f"{summary['cores']} cores, one thread a process",
        f"median (lowest to highest) of {options.repeats} repeats of {options.steps} steps",
        "",
        f"{'strategy':<13}{'W':>3}{'rows/s':>24}{'ratio':>22}{'collectives':>14}",
    ]
    for strategy, by_size in summary["strategies"].items():
        for world_size, figure in by_size.items():
            rate, ratio, share = (
                figure[name] for name in ("rows_per_second", "ratio", "communication")
            )
            rate_text = f"{rate['median']:.0f} ({rate['low']:.0f} to {rate['high']:.0f})"
            ratio_text = f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
            lines.append(
                f"{strategy:<13}{world_size:>3}{rate_text:>24}{ratio_text:>22}"
                f"{share['median']:>13.0%}"
            )
    lines += [
        "",
        f"ratio: to W = {min(options.world_size)} of the same repeat (goal at W = 2: {GOAL});",
        "collectives: share of a step in which one is under way, waiting and overlap included",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
