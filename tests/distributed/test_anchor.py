"""The anchor, and averaged weights, on several processes: those of one, the same on all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gzsl_dist.config import Config
from gzsl_dist.config.nested import merge
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import selection_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.training.anchor import choose_anchor, class_means, fit_anchor
from gzsl_dist.training.averages import AveragedWeights
from gzsl_dist.training.trainer import Trainer, networks_for

from .spawn import run_processes

ROOT = Path(__file__).parents[2]
ALONE = DistributedContext(0, 1, torch.device("cpu"))
SIZES = dict.fromkeys(
    ("generator_hidden", "critic_hidden", "embedding_dim", "comparator_hidden"), 32
)
STEPS = 4


def config(strategy: str = "auto") -> Config:
    values = {
        "model": {"anchor": "kernel_ridge", **SIZES, "noise_dim": 8, "projection_dim": 16,
                  "prototype_hidden": 16},
        "train": {"batch_size": 33, "critic_steps": 1, "ema": 0.7},
    }  # fmt: skip
    if strategy != "auto":
        file = ROOT / "configs" / "deepspeed" / f"{strategy}.yaml"
        deepspeed = {"strategy": "deepspeed", "deepspeed_config": str(file)}
        values = merge(values, {"train": deepspeed})
    return Config.model_validate(values)


def fitted(
    processes: DistributedContext,
) -> tuple[dict[str, Tensor], Tensor, list[dict[str, float]]]:
    """Buffers of a fitted anchor, class means, and the choices; other processes round wrong."""
    problem = selection_problem(digits_dataset(), config())
    if processes.rank > 0:
        problem.semantics.mul_(1 + 0.01 * torch.rand(problem.semantics.shape))
    networks = networks_for(problem, config())
    chosen = fit_anchor(networks, problem, config().model, processes)
    means = class_means(problem.train, problem.seen_count, processes)
    choices = [chosen, choose_anchor([problem], config().model, processes)]
    return dict(networks.generator.named_buffers()), means, choices


@pytest.mark.parametrize("world_size", [2, 3])
def test_an_anchor_is_that_of_the_first_process(world_size: int) -> None:
    buffers, means, choices = fitted(ALONE)
    for ours, found, chosen in run_processes(world_size, fitted):
        torch.testing.assert_close(found, means, rtol=1e-12, atol=1e-14)
        assert chosen == choices
        for name, value in buffers.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5)
    first, *others = run_processes(world_size, fitted)
    for other in others:
        assert all(torch.equal(other[0][name], value) for name, value in first[0].items())


def averaged(processes: DistributedContext, strategies: list[str]) -> dict[str, dict[str, Tensor]]:
    found = {}
    for name in strategies:
        made = config(name)
        problem = selection_problem(digits_dataset(), made)
        trainer = Trainer(problem, made, processes, choose_strategy(made.train, processes))
        for step in range(STEPS):
            trainer.train_step(step)
        weights = trainer.evaluated_networks().state_dict()
        found[name] = {key: value.clone() for key, value in weights.items()}
        trainer.close()
    return found


@pytest.mark.parametrize("world_size", [1, 2])
def test_averages_are_those_of_plain_code_under_every_strategy(world_size: int) -> None:
    pytest.importorskip("deepspeed")
    made = config()
    problem = selection_problem(digits_dataset(), made)
    trainer = Trainer(problem, made, ALONE, choose_strategy(made.train, ALONE))
    expected = AveragedWeights(0.7)
    for step in range(STEPS):
        trainer.train_step(step)
        expected.update(trainer.consolidated_networks().state_dict(), step)
    strategies = ["auto", "zero1", "zero2", "zero3"]
    for found in run_processes(world_size, averaged, strategies):
        for name in strategies:
            for key, value in expected.values.items():
                torch.testing.assert_close(
                    found[name][key], value, rtol=1e-4, atol=1e-5, msg=f"{name} {key}"
                )
