"""Matrix products of a step: counted as on paper, and as the plan counts them."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear

from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import final_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.monitoring.matrix_products import MatrixFlops, peak_rate
from gzsl_dist.planning.plan import make_plan
from gzsl_dist.planning.shapes import opened, shape_of
from gzsl_dist.training.trainer import Trainer

ALONE = DistributedContext(0, 1, torch.device("cpu"))


def test_a_linear_layer_has_one_product_forward_and_two_backward() -> None:
    inputs = torch.randn(3, 5, requires_grad=True)
    weight = torch.randn(7, 5, requires_grad=True)
    with MatrixFlops() as counter:
        linear(inputs, weight).relu().sum().backward()
    assert counter.total == 3 * (2 * 3 * 5 * 7)


@pytest.mark.parametrize("method", ["iapc", "ce_gzsl", "wgan"])
def test_a_real_step_multiplies_what_the_plan_says(method: str) -> None:
    config = Config.model_validate(
        {
            "method": method,
            "model": {"generator_hidden": 64, "critic_hidden": 64, "embedding_dim": 64},
            "train": {"batch_size": 32, "critic_steps": 2},
        }
    )
    problem = final_problem(digits_dataset(), config)
    trainer = Trainer(problem, config, ALONE, choose_strategy(config.train, ALONE))
    with MatrixFlops() as counter:
        trainer.train_step(0)
    plan = make_plan(config, shape_of(opened("digits")), 1)
    assert counter.total == pytest.approx(plan.step_flops, rel=0.02)


def test_the_peak_is_a_speed() -> None:
    assert 1e8 < peak_rate(torch.device("cpu"), torch.float32, repeats=1) < 1e15
