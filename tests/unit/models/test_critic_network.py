from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gzsl_dist.losses.wgan import gradient_penalty
from gzsl_dist.models.critic import Critic

from .comparing import assert_gradients_match, concatenated_mlp, gradients, normal, randomized

EXAMPLES = settings(deadline=None, max_examples=20, derandomize=True)
sizes = {
    "rows": st.integers(1, 5),
    "feature_dim": st.integers(1, 4),
    "semantic_dim": st.integers(1, 3),
    "hidden_dim": st.integers(1, 6),
    "seed": st.integers(0, 100),
}


def problem(
    rows: int, feature_dim: int, semantic_dim: int, hidden_dim: int, seed: int
) -> tuple[Critic, nn.Sequential, Tensor, Tensor]:
    critic = randomized(Critic(feature_dim, semantic_dim, hidden_dim), seed)
    mlp = concatenated_mlp((critic.hidden_feature, critic.hidden_semantic), critic.output)
    x, a = normal(rows, feature_dim, seed=seed), normal(rows, semantic_dim, seed=seed + 1)
    return critic, mlp, x, a


def input_gradient_by_autograd(mlp: nn.Module, x: Tensor, a: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    scores = mlp(torch.cat([x, a], dim=1))
    return torch.autograd.grad(scores.sum(), x, create_graph=True)[0]


@EXAMPLES
@given(**sizes)
def test_is_the_mlp_on_the_concatenation(**drawn: int) -> None:
    critic, mlp, x, a = problem(**drawn)
    scores, expected = critic(x, a), mlp(torch.cat([x, a], dim=1))[:, 0]
    assert scores.shape == (drawn["rows"],)
    torch.testing.assert_close(scores, expected)
    weights = normal(len(x), seed=5)
    assert_gradients_match(
        gradients(scores @ weights, critic), gradients(expected @ weights, mlp), "hidden_feature"
    )


@EXAMPLES
@given(**sizes)
def test_input_gradient_and_penalty_equal_double_autograd(**drawn: int) -> None:
    critic, mlp, x, a = problem(**drawn)
    expected = input_gradient_by_autograd(mlp, x, a)
    actual = critic.input_gradient(critic.activation(x, a))
    torch.testing.assert_close(actual, expected)

    penalty = gradient_penalty(actual, len(x))
    expected_penalty = (expected.norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(penalty, expected_penalty)
    assert_gradients_match(
        gradients(penalty, critic), gradients(expected_penalty, mlp), "hidden_feature"
    )


def test_whole_critic_loss_equals_the_textbook_computation() -> None:
    rows = 8
    critic, mlp, real, a = problem(rows, 5, 3, 16, seed=1)
    fake, mix = normal(rows, 5, seed=7), torch.rand(rows, 1, dtype=torch.float64)

    real_activation, fake_activation = critic.activation(real, a), critic.activation(fake, a)
    mixed = mix * real_activation + (1 - mix) * fake_activation
    loss = (critic.score(fake_activation) - critic.score(real_activation)).mean()
    loss = loss + 10 * gradient_penalty(critic.input_gradient(mixed), rows)

    gradient = input_gradient_by_autograd(mlp, mix * real + (1 - mix) * fake, a)
    expected = mlp(torch.cat([fake, a], 1)).mean() - mlp(torch.cat([real, a], 1)).mean()
    expected = expected + 10 * (gradient.norm(dim=1) - 1).square().mean()

    torch.testing.assert_close(loss, expected)
    assert_gradients_match(gradients(loss, critic), gradients(expected, mlp), "hidden_feature")


@EXAMPLES
@given(**sizes, mix=st.floats(0, 1))
def test_activation_is_affine(mix: float, **drawn: int) -> None:
    critic, _, x, a = problem(**drawn)
    other = normal(*x.shape, seed=99)
    torch.testing.assert_close(
        critic.activation(mix * x + (1 - mix) * other, a),
        mix * critic.activation(x, a) + (1 - mix) * critic.activation(other, a),
    )


@pytest.mark.parametrize("seed", range(3))
def test_input_gradient_is_the_finite_difference(seed: int) -> None:
    critic, _, x, a = problem(4, 3, 2, 8, seed)
    gradient = critic.input_gradient(critic.activation(x, a))
    for column in range(3):
        step = torch.zeros_like(x)
        step[:, column] = 1e-7
        difference = (critic(x + step, a) - critic(x - step, a)) / 2e-7
        torch.testing.assert_close(gradient[:, column], difference, rtol=1e-5, atol=1e-6)


def test_input_gradient_at_the_kink_is_that_of_autograd() -> None:
    critic = randomized(Critic(2, 1, 4))
    mlp = concatenated_mlp((critic.hidden_feature, critic.hidden_semantic), critic.output)
    with torch.no_grad():
        for module in (critic.hidden_feature, mlp[0]):
            module.bias.zero_()
    x, a = torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    actual = critic.input_gradient(critic.activation(x, a))
    torch.testing.assert_close(actual, input_gradient_by_autograd(mlp, x, a))


def test_a_critic_without_slope_is_penalized_by_1_with_finite_gradients() -> None:
    critic, _, x, a = problem(3, 4, 2, 6, seed=0)
    nn.init.zeros_(critic.output.weight)
    penalty = gradient_penalty(critic.input_gradient(critic.activation(x, a)), len(x))
    assert penalty.item() == 1
    assert all(gradient.isfinite().all() for gradient in gradients(penalty, critic).values())


def test_input_gradient_keeps_bfloat16_under_autocast_close() -> None:
    critic, _, x, a = problem(6, 4, 2, 32, seed=0)
    exact = critic.input_gradient(critic.activation(x, a))
    critic.float()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = critic.input_gradient(critic.activation(x.float(), a.float()))
    difference = (rounded.double() - exact).norm() / exact.norm()
    assert difference < 0.1
