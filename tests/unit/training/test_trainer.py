"""What one training step draws, and what is never saved."""

from __future__ import annotations

import pytest
import torch

from gzsl_dist.config import Config
from gzsl_dist.data.batches import Batch
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import final_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import DivergedError
from gzsl_dist.training.trainer import Trainer

ALONE = DistributedContext(0, 1, torch.device("cpu"), quiet=True)


@pytest.fixture
def trainer() -> Trainer:
    config = Config.model_validate({"train": {"batch_size": 8, "critic_steps": 2}})
    problem = final_problem(digits_dataset(), config)
    return Trainer(problem, config, ALONE, choose_strategy(config.train, ALONE), None)


def test_no_draw_is_used_twice(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the generator would train on the rows and noise of a critic step after it."""
    drawn, draw = [], trainer.draw

    def recorded(number: int) -> Batch:
        drawn.append(number)
        return draw(number)

    monkeypatch.setattr(trainer, "draw", recorded)
    for step in range(3):
        trainer.train_step(step)
    assert drawn == list(range(9))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(trainer: Trainer, value: float) -> None:
    trainer.train_step(0)
    trainer.state(1)
    with torch.no_grad():
        trainer.networks.generator.output.bias[3] = value
    with pytest.raises(DivergedError, match=r"weights generator.output.bias are not finite"):
        trainer.state(2)
