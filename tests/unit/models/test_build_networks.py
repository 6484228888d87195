from __future__ import annotations

from typing import Any

import pytest
import torch

from gzsl_dist.config import Config
from gzsl_dist.models.networks import Networks, build_networks
from gzsl_dist.models.prototypes import EMAPrototypes, LearnedPrototypes, SemanticPrototypes

SIZES = {
    "noise_dim": 3,
    "generator_hidden": 8,
    "critic_hidden": 11,
    "embedding_dim": 6,
    "projection_dim": 4,
    "comparator_hidden": 5,
    "prototype_hidden": 7,
}


def build(method: str = "iapc", seed: int = 0, **loss: Any) -> Networks:
    config = Config.model_validate(
        {"method": method, "model": SIZES, "train": {"seed": seed}, "loss": loss}
    )
    return build_networks(config, feature_dim=10, semantic_dim=2, seen_count=9)


def test_the_seed_decides_all_weights() -> None:
    first, again, other = build(seed=3), build(seed=3), build(seed=4)
    assert all(
        torch.equal(tensor, again.state_dict()[name]) for name, tensor in first.state_dict().items()
    )
    assert not torch.equal(first.generator.hidden.weight, other.generator.hidden.weight)


def test_building_neither_reads_nor_moves_the_global_random_state() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(first.critic.output.weight, build().critic.output.weight)


def test_sizes_come_from_the_configuration() -> None:
    networks = build(prototype={"source": "semantic"})
    z, a, x = torch.randn(5, 3), torch.randn(5, 2), torch.rand(5, 10)
    assert networks.generator(z, a).shape == (5, 10)
    assert networks.generator.noise_dim == 3
    assert networks.generator.hidden.out_features == 8
    assert networks.critic.hidden_feature.out_features == 11
    assert networks.critic(x, a).shape == (5,)
    assert networks.embedding is not None
    h, u = networks.embedding(x)
    assert h.shape == (5, 6)
    assert u.shape == (5, 4)
    assert networks.comparator is not None
    assert networks.comparator(h, torch.randn(9, 2)).shape == (5, 9)
    assert networks.comparator.hidden_embedding.out_features == 5
    assert isinstance(networks.prototypes, SemanticPrototypes)
    assert networks.prototypes.hidden.out_features == 7
    assert networks.prototypes(torch.randn(9, 2), slice(0, 9)).shape == (9, 4)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("learned", LearnedPrototypes),
        ("semantic", SemanticPrototypes),
        ("ema", EMAPrototypes),
    ],
)
def test_source_of_the_prototypes(source: str, kind: type) -> None:
    networks = build(prototype={"source": source, "momentum": 0.5})
    assert isinstance(networks.prototypes, kind)
    assert networks.prototypes(torch.randn(9, 2), slice(0, 9)).shape == (9, 4)
    if isinstance(networks.prototypes, EMAPrototypes):
        assert networks.prototypes.momentum == 0.5


def test_methods_hold_only_what_their_losses_need() -> None:
    wgan = build("wgan")
    assert wgan.embedding is wgan.prototypes is wgan.comparator is None
    ce_gzsl = build("ce_gzsl")
    assert ce_gzsl.prototypes is None
    assert ce_gzsl.embedding is not None
    assert ce_gzsl.comparator is not None
    proxy_anchor = build("proxy_anchor")
    assert proxy_anchor.comparator is None
    assert proxy_anchor.prototypes is not None


def test_a_projection_that_no_loss_trains_is_frozen() -> None:
    used = build("ce_gzsl").embedding
    unused = build("ce_gzsl", critic={"instance": 0}, generator={"instance": 0}).embedding
    assert used is not None
    assert unused is not None
    assert all(parameter.requires_grad for parameter in used.parameters())
    assert not any(parameter.requires_grad for parameter in unused.project.parameters())
    assert all(parameter.requires_grad for parameter in unused.embed.parameters())
