"""Averaged weights against a plain loop, and where a run uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gzsl_dist.config import Config
from gzsl_dist.config.sizes import DataShape
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import final_problem
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.models.networks import build_networks
from gzsl_dist.planning.plan import make_plan
from gzsl_dist.training.averages import AveragedWeights
from gzsl_dist.training.resume import compatibility
from gzsl_dist.training.trained import load_run
from gzsl_dist.training.trainer import Trainer

from .test_anchor import ALONE, config, finish


def settings(directory: Path | str = "unused", **train: Any) -> Config:
    made = config(directory)
    return made.model_copy(update={"train": made.train.model_copy(update={"ema": 0.6, **train})})


def trainer(made: Config, found: Any = None) -> Trainer:
    problem = final_problem(digits_dataset(), made)
    return Trainer(problem, made, ALONE, choose_strategy(made.train, ALONE), found)


def test_the_average_is_that_of_a_plain_loop() -> None:
    """Over the weights after each of 20 steps; early shares are 0.18, 0.25, 0.31 and so on."""
    averaged = AveragedWeights(0.6)
    draw = torch.Generator().manual_seed(1)
    history = torch.randn(20, 3, generator=draw, dtype=torch.float64)
    expected = history[0]
    for step, value in enumerate(history):
        averaged.update({"generator.w": value, "critic.w": value}, step)
        if step > 0:
            share = min(0.6, (1 + step) / (10 + step))
            expected = share * expected + (1 - share) * value
    assert averaged.values.keys() == {"generator.w"}
    torch.testing.assert_close(averaged.values["generator.w"], expected)


def test_a_trainer_averages_its_generator_and_embedding_after_each_step() -> None:
    one = trainer(settings())
    expected = AveragedWeights(0.6)
    for step in range(5):
        one.train_step(step)
        expected.update(one.consolidated_networks().state_dict(), step)
    whole, evaluated = one.consolidated_networks(), one.evaluated_networks()
    different = set()
    for name, value in evaluated.state_dict().items():
        if name.startswith(("generator.", "embedding.")):
            torch.testing.assert_close(value, expected.values.get(name, whole.state_dict()[name]))
            if not torch.equal(value, whole.state_dict()[name]):
                different.add(name)
        else:
            assert torch.equal(value, whole.state_dict()[name])
    assert different >= {"generator.hidden.weight", "generator.output.bias", "embedding.embed.bias"}


def test_averages_change_nothing_of_the_training() -> None:
    one, other = trainer(settings()), trainer(settings(ema=None))
    for step in range(3):
        one.train_step(step)
        other.train_step(step)
    assert other.averages is None
    for name, value in one.consolidated_networks().state_dict().items():
        assert torch.equal(value, other.consolidated_networks().state_dict()[name])
    for name, value in other.evaluated_networks().state_dict().items():
        assert torch.equal(value, other.consolidated_networks().state_dict()[name])


def test_a_resumed_training_goes_on_with_its_averages(tmp_path: Path) -> None:
    made = settings()
    one = trainer(made)
    for step in range(3):
        one.train_step(step)
    agreed = compatibility(one.problem.sizes, made, "f" * 64)
    checkpoint.save(tmp_path, one.state(3), agreed, ALONE, 1)
    (saved,) = checkpoint.checkpoints(tmp_path)
    again = trainer(made, (saved, checkpoint.load(saved, agreed)))
    for each in (one, again):
        each.train_step(3)
    for name, value in one.evaluated_networks().state_dict().items():
        assert torch.equal(again.evaluated_networks().state_dict()[name], value), name


def test_damaged_averages_are_found(tmp_path: Path) -> None:
    made = settings()
    one = trainer(made)
    one.train_step(0)
    agreed = compatibility(one.problem.sizes, made, "f" * 64)
    checkpoint.save(tmp_path, one.state(1), agreed, ALONE, 1)
    (saved,) = checkpoint.checkpoints(tmp_path)
    file = saved.path / checkpoint.AVERAGES
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    for optimizers in (True, False):
        with pytest.raises(checkpoint.DamagedError, match="averages"):
            checkpoint.load(saved, agreed, optimizers=optimizers)
    file.unlink()
    with pytest.raises(checkpoint.DamagedError):
        checkpoint.load(saved, agreed)


def test_a_finished_run_is_used_with_its_averages(tmp_path: Path) -> None:
    finish(settings(tmp_path / "run"))
    found = checkpoint.checkpoints(tmp_path / "run" / "checkpoints")[-1]
    run = load_run(tmp_path / "run", ALONE)
    saved = checkpoint.load(
        found, compatibility(run.problem.sizes, run.config, run.dataset.fingerprint)
    )
    name = "generator.output.weight"
    assert torch.equal(run.networks.state_dict()[name], saved.averages[name])
    assert not torch.equal(saved.networks[name], saved.averages[name])


def test_the_plan_counts_them() -> None:
    shape = DataShape(seen_count=7, feature_dim=64, semantic_dim=12, rows=100)
    with_them, without = (
        make_plan(settings(ema=ema), shape, 2).held["ddp"].parameters for ema in (0.9, None)
    )
    networks = build_networks(settings(), feature_dim=64, semantic_dim=12, seen_count=7)
    assert networks.embedding is not None
    counted = (networks.generator, networks.embedding)
    held = sum(value.nbytes for each in counted for value in each.parameters())
    assert with_them - without == held
