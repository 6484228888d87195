"""Embedding network, generator, and the initialization of all networks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gzsl_dist.models.comparator import Comparator
from gzsl_dist.models.critic import Critic
from gzsl_dist.models.embedding import Embedding, unit
from gzsl_dist.models.generator import Generator
from gzsl_dist.models.prototypes import SemanticPrototypes

from .comparing import normal, randomized


def test_embedding_gives_nonnegative_h_and_unit_u() -> None:
    embedding = randomized(Embedding(feature_dim=4, embedding_dim=6, projection_dim=3))
    x = normal(10, 4, seed=1)
    h, u = embedding(x)
    assert h.shape == (10, 6)
    assert u.shape == (10, 3)
    assert (h >= 0).all()
    assert (h == 0).any()
    assert (h > 0).any()
    torch.testing.assert_close(u.norm(dim=1), torch.ones(10, dtype=torch.float64))

    first, second = embedding.embed, embedding.project
    expected_h = (x @ first.weight.T + first.bias).clamp_min(0)
    expected_v = expected_h @ second.weight.T + second.bias
    torch.testing.assert_close(h, expected_h)
    torch.testing.assert_close(u, expected_v / expected_v.norm(dim=1, keepdim=True))


def test_embedding_as_initialized_gives_unit_vectors() -> None:
    _, u = Embedding(64, 128, 32)(torch.rand(20, 64))
    torch.testing.assert_close(u.norm(dim=1), torch.ones(20))


def test_embedding_gradient_goes_through_both_outputs() -> None:
    embedding = randomized(Embedding(3, 4, 2))
    x = normal(5, 3, seed=1).requires_grad_()

    def outputs(x: Tensor) -> tuple[Tensor, Tensor]:
        h, u = embedding(x)
        return h, u

    assert torch.autograd.gradcheck(outputs, x)


def test_unit_raises_half_precision_and_survives_zero() -> None:
    rounded = unit(normal(4, 300, seed=0).bfloat16())
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded.norm(dim=1), torch.ones(4))
    zero = torch.zeros(1, 3, requires_grad=True)
    result = unit(zero)
    assert (result == 0).all()
    (gradient,) = torch.autograd.grad(result.sum(), zero)
    assert gradient.isfinite().all()


def test_generator_is_a_nonnegative_mlp_of_noise_and_semantics() -> None:
    generator = randomized(Generator(noise_dim=2, semantic_dim=3, hidden_dim=5, feature_dim=4))
    z, a = normal(7, 2, seed=1), normal(7, 3, seed=2)
    fake = generator(z, a)
    assert fake.shape == (7, 4)
    assert (fake >= 0).all()
    assert (fake > 0).any()
    assert (fake == 0).any()

    hidden = torch.cat([z, a], 1) @ generator.hidden.weight.T + generator.hidden.bias
    hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    expected = (hidden @ generator.output.weight.T + generator.output.bias).clamp_min(0)
    torch.testing.assert_close(fake, expected)
    assert generator.noise_dim == 2


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: Generator(40, 60, 300, 100), id="generator"),
        pytest.param(lambda: Critic(200, 100, 300), id="critic"),
        pytest.param(lambda: Embedding(200, 300, 100), id="embedding"),
        pytest.param(lambda: Comparator(200, 100, 300), id="comparator"),
        pytest.param(lambda: SemanticPrototypes(100, 300, 100), id="prototypes"),
    ],
)
def test_weights_start_normal_with_deviation_002_and_biases_0(build: type[nn.Module]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build()
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    assert len(layers) >= 2
    for layer in layers:
        weights = layer.weight.detach().flatten() / 0.02
        tolerance = 5 / len(weights) ** 0.5  # five standard errors of a mean of N(0, 1)
        assert weights.mean().abs() < tolerance
        assert (weights.square().mean() - 1).abs() < 2**0.5 * tolerance
        if len(weights) > 1000:  # not uniform, not truncated
            beyond = (weights.abs() > 2).double().mean()
            assert 0.035 < beyond < 0.056  # 0.0455
            assert weights.abs().max() > 3
        if layer.bias is not None:
            assert (layer.bias == 0).all()
