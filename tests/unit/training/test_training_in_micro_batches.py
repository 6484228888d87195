"""Whole training steps in micro-batches end at the same weights as steps in one piece."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import final_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.training.trainer import Trainer

from .test_guard import ALONE, config


def weights(settings: Config) -> dict[str, Tensor]:
    problem = final_problem(digits_dataset(), settings)
    trainer = Trainer(problem, settings, ALONE, choose_strategy(settings.train, ALONE))
    for step in range(2):
        trainer.train_step(step)
    return trainer.consolidated_networks().state_dict()


def test_micro_batches_change_nothing(tmp_path: Path) -> None:
    whole = config(tmp_path)
    train = whole.train.model_copy(update={"precision": "float64"})
    micro = train.model_copy(update={"micro_batch_size": 5})  # does not divide the batch
    expected = weights(whole.model_copy(update={"train": train}))
    found = weights(whole.model_copy(update={"train": micro}))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-11, msg=name)
