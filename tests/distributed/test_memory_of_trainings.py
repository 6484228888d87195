"""The training of model selection leaves nothing in memory for the one that follows."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch

from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import selection_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.training.loop import fit
from gzsl_dist.training.stop_signal import StopSignal

from .spawn import run_processes

ROOT = Path(__file__).parents[2]
STRATEGIES = ("auto", "zero0", "zero1", "zero2", "zero3")


def configuration(strategy: str) -> Config:
    train: dict[str, object] = {"steps": 2, "batch_size": 16, "precision": "float32"}
    if strategy != "auto":
        file = ROOT / "configs" / "deepspeed" / f"{strategy}.yaml"
        train |= {"strategy": "deepspeed", "deepspeed_config": str(file)}
    sizes = {"generator_hidden": 64, "critic_hidden": 64, "embedding_dim": 64}
    return Config.model_validate({"model": sizes, "train": train})


def live_bytes() -> int:
    """Of all tensors that Python objects reach."""
    gc.collect()
    tensors = [each for each in gc.get_objects() if isinstance(each, torch.Tensor)]
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage() for each in tensors}
    return sum(storage.nbytes() for storage in storages.values())


def train_three_times(processes: DistributedContext, strategy: str, folder: str) -> list[int]:
    """Bytes of the weights of a training, and of all tensors after each of three trainings."""
    config = configuration(strategy)
    problem = selection_problem(digits_dataset(), config)
    chosen = choose_strategy(config.train, processes)
    counted, weights = [], 0
    for number in range(3):
        networks = fit(
            problem, config, processes, chosen, Path(folder) / f"{number}",
            title="training", steps=2, fingerprint="none", stop=StopSignal(),
        )  # fmt: skip
        weights = sum(value.nbytes for value in networks.parameters())
        del networks
        counted.append(live_bytes())
    return [weights, *counted]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_training_that_ended_holds_no_weights(strategy: str, tmp_path: Path) -> None:
    if strategy != "auto":
        pytest.importorskip("deepspeed")
    for weights, _, after, again in run_processes(2, train_three_times, strategy, str(tmp_path)):
        assert again - after < 0.02 * weights
