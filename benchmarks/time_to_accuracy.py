"""Seconds of training until validation AUSUC is what CE-GZSL reaches.

    python benchmarks/time_to_accuracy.py [--data data/cub_vgg_sent.h5] [--steps 200] [--every 10]

`ce_gzsl`, `iapc` and `iapc` with an anchor are trained in turns on the selection problem,
``--every`` steps each, in one process of one thread, and measured on its validation classes; no
test row is read. The bar is the best AUSUC of `ce_gzsl` within ``--steps``; who is above it rests.
The published form (`benchmarks/published_ce_gzsl.py`) makes the same steps as `ce_gzsl`, so its
time is that number of steps times its own seconds a step. Only steps are timed (what is measured
costs all alike), and the anchor's search and fit, listed separately.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation import processes

ROOT = Path(__file__).parents[1]
CONTENDERS = {
    "ce_gzsl": ("configs/baselines/ce_gzsl_cub_cpu.yaml", ["--loss.critic.instance", "0.1"]),
    "iapc": ("configs/cub_cpu.yaml", []),
    "iapc, anchored": ("configs/cub_cpu_anchor.yaml", ["--evaluation.temperature", "0.1"]),
}


@dataclass
class Contender:
    """One training: its trainer, and (steps, seconds, AUSUC) at every look."""

    trainer: Any
    problem: Any
    config: Any
    preparation: float
    looks: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def steps(self) -> int:
        return self.looks[-1][0] if self.looks else 0

    @property
    def seconds(self) -> float:
        return self.looks[-1][1] if self.looks else 0.0

    @property
    def best(self) -> float:
        return max((area for _, _, area in self.looks), default=0.0)

    def first_above(self, bar: float) -> tuple[int, float, float] | None:
        return next((look for look in self.looks if look[2] >= bar), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="data/cub_vgg_sent.h5")
    parser.add_argument("--steps", type=int, default=200, help="of ce_gzsl")
    parser.add_argument("--every", type=int, default=10, help="steps between looks")
    parser.add_argument("--seed", default="0")
    parser.add_argument(
        "--clock", default="wall", choices=["wall", "cpu"],
        help="cpu: what this process computed itself, on a machine that others use",
    )  # fmt: skip
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    import torch

    torch.set_num_threads(1)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    contenders = {
        name: start(ROOT / file, [*changes, "--data.path", options.data], options.seed, clock)
        for name, (file, changes) in CONTENDERS.items()
    }
    yardstick = contenders["ce_gzsl"]
    while any(active(each, yardstick, options.steps) for each in contenders.values()):
        for name, each in contenders.items():
            if active(each, yardstick, options.steps):
                go_on(each, options.every, clock)
                steps, seconds, area = each.looks[-1]
                print(f"{name}: {steps} steps, {seconds:.0f} s, AUSUC {100 * area:.1f}", flush=True)
    bar = yardstick.best
    reached = yardstick.first_above(bar)
    assert reached is not None
    a_step = published_seconds(yardstick, clock)
    ours = contenders["iapc, anchored"].first_above(bar)
    assert ours is not None, "the anchored training did not get there"
    total = contenders["iapc, anchored"].preparation + ours[1]
    print(f"\nThe bar: AUSUC {100 * bar:.1f}, {options.clock} time\n")
    print("| training | steps | seconds | of them search and fit of the anchor | times |")
    print("| --- | --- | --- | --- | --- |")
    published = a_step * reached[0]
    print(f"| published CE-GZSL | {reached[0]} | {published:.0f} | | {published / total:.1f} |")
    for name, each in contenders.items():
        look = each.first_above(bar)
        if look is None:
            print(f"| {name} | not in {each.steps} | {each.seconds:.0f} | | |")
            continue
        seconds = each.preparation + look[1]
        prepared = f"{each.preparation:.0f}" if each.config.model.anchor != "none" else ""
        print(f"| {name} | {look[0]} | {seconds:.0f} | {prepared} | {seconds / total:.1f} |")


def active(each: Contender, yardstick: Contender, steps: int) -> bool:
    """Whether it has steps to make: the yardstick all of them, others until they are ahead."""
    if each is yardstick:
        return each.steps < steps
    return each.steps < 2 * steps and each.best <= yardstick.best


def start(file: Path, changes: list[str], seed: str, clock: Any) -> Contender:
    """A training of the selection problem that has made no step."""
    from gzsl_dist.config.command_line import add_setting_arguments, config_from_arguments
    from gzsl_dist.data.load import load_dataset
    from gzsl_dist.data.problem import selection_problem
    from gzsl_dist.distributed.strategies import LocalStrategy
    from gzsl_dist.training.anchor import choose_anchor, with_anchor
    from gzsl_dist.training.trainer import Trainer

    parser = argparse.ArgumentParser()
    add_setting_arguments(parser)
    arguments = ["--config", str(file), *changes, "--train.seed", seed]
    config = config_from_arguments(*parser.parse_known_args(arguments))
    dataset = load_dataset(config.data.path, config.data.in_memory)
    problem = selection_problem(dataset, config, 0)
    alone = processes()
    begun = clock()
    if config.model.anchor != "none":
        config = with_anchor(config, choose_anchor([problem], config.model, alone))
    searched = clock() - begun
    return Contender(Trainer(problem, config, alone, LocalStrategy()), problem, config, searched)


def go_on(each: Contender, steps: int, clock: Any) -> None:
    """Some steps more, timed, and a look at the validation classes."""
    from gzsl_dist.evaluation.metrics import seen_unseen_curve
    from gzsl_dist.evaluation.score import fit_classifier, score_problem

    done, seconds, begun = each.steps, each.seconds, clock()
    for step in range(done, done + steps):
        each.trainer.train_step(step)
    seconds += clock() - begun
    networks, alone = each.trainer.evaluated_networks(), processes()
    classifier = fit_classifier(networks, each.problem, each.config, alone)
    scored = score_problem(networks, classifier, each.problem, each.config.evaluation, alone)
    area = seen_unseen_curve(scored.seen, scored.unseen).area
    each.looks.append((done + steps, seconds, area))


def published_seconds(yardstick: Contender, clock: Any) -> float:
    """Of a step of the published form, all its critic steps and the generator's; warmed up."""
    from step import published_step

    total = 0.0
    for side, times in (("critic", yardstick.config.train.critic_steps), ("generator", 1)):
        step = published_step(yardstick.trainer, yardstick.config, side)
        for draw in range(2):
            begun = clock()
            step(draw)
            seconds = clock() - begun
        total += times * seconds
    return total


if __name__ == "__main__":
    main()
