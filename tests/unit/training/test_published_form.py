"""The yardstick of benchmarks/step.py computes what the package computes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.training.objectives import CriticObjective, GeneratorObjective
from tests.distributed.test_gradients import SETTINGS, build, setting

ROOT = Path(__file__).parents[3]
SPLIT = {  # layers that the package keeps as two parts, and where they are in the published form
    "critic.0.weight": ("critic.hidden_feature.weight", "critic.hidden_semantic.weight"),
    "comparator.0.weight": (
        "comparator.hidden_embedding.weight",
        "comparator.hidden_semantic.weight",
    ),
}
SAME = {
    "critic.0.bias": "critic.hidden_feature.bias",
    "critic.2.weight": "critic.output.weight",
    "critic.2.bias": "critic.output.bias",
    "comparator.0.bias": "comparator.hidden_embedding.bias",
    "comparator.2.weight": "comparator.output",
    "embed.0.weight": "embedding.embed.weight",
    "embed.0.bias": "embedding.embed.bias",
    "project.weight": "embedding.project.weight",
    "project.bias": "embedding.project.bias",
    "generator.0.weight": "generator.hidden.weight",
    "generator.0.bias": "generator.hidden.bias",
    "generator.2.weight": "generator.output.weight",
    "generator.2.bias": "generator.output.bias",
}


def published_form() -> type:
    spec = importlib.util.spec_from_file_location(
        "published_ce_gzsl", ROOT / "benchmarks" / "published_ce_gzsl.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    form: type = module.PublishedForm
    return form


@pytest.mark.parametrize("side", ["critic", "generator"])
@pytest.mark.parametrize("method", ["ce_gzsl", "wgan"])
@pytest.mark.parametrize("batch_size", [5, 24])  # fewer and more rows than classes
def test_same_loss_and_gradients(method: str, side: str, batch_size: int) -> None:
    assert method in SETTINGS
    config = setting(method, batch_size)
    networks, semantics, batches = build(config, torch.float64, slice(0, batch_size))
    batch = batches.batch(0)
    published = published_form()(networks, config, semantics)
    arguments = (networks, semantics, config, DistributedContext(0, 1, torch.device("cpu")))
    if side == "critic":
        with torch.no_grad():
            fake = networks.generator(batch.noise, semantics, batch.labels)
        loss = CriticObjective(*arguments)(batch, fake)[0]
        expected = published.critic_loss(batch)
    else:
        loss = GeneratorObjective(*arguments)(batch)[0]
        expected = published.generator_loss(batch)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)

    loss.backward()
    expected.backward()
    ours = dict(networks.named_parameters())
    compared = 0
    for name, parameter in published.named_parameters():
        if parameter.grad is None:
            continue
        torch.testing.assert_close(
            gradient_of(ours, name).view_as(parameter.grad), parameter.grad, rtol=1e-9, atol=1e-12
        )
        compared += 1
    assert compared >= 4


def gradient_of(parameters: dict[str, torch.nn.Parameter], name: str) -> Tensor:
    """The gradient of our parameters that are together the published one of that name."""
    parts = [parameters[ours].grad for ours in SPLIT.get(name, (SAME.get(name, ""),))]
    assert all(part is not None for part in parts), name
    return torch.cat([part for part in parts if part is not None], dim=-1)
