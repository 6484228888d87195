"""The anchor against scikit-learn's ridge, plain systems of equations and refits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor
from torch.nn.functional import normalize

from gzsl_dist.models import anchor as module
from gzsl_dist.models.anchor import Anchor, Regression, best_left_out, regressions
from gzsl_dist.models.generator import Generator

from .comparing import normal

CLASSES, FEATURES = 14, 6
WIDTH, PENALTY = 1.5, 0.07
FORMS = ("ridge", "kernel_ridge")


def data(semantic_dim: int = 5) -> tuple[Tensor, Tensor]:
    """Semantics of several lengths, and means that depend on them, around 3."""
    semantics = normal(CLASSES, semantic_dim, seed=1) * (1 + torch.arange(CLASSES)[:, None])
    weight = normal(semantic_dim, FEATURES, seed=2)
    noise = normal(CLASSES, FEATURES, seed=3)
    return semantics, torch.tanh(normalize(semantics, dim=1) @ weight) + 0.2 * noise + 3


def fitted(form: str, semantics: Tensor, means: Tensor, penalty: float = PENALTY) -> Regression:
    return next(regressions(form, semantics, means, [WIDTH], [penalty]))


@pytest.mark.parametrize("semantic_dim", [5, 14, 40])
@pytest.mark.parametrize("penalty", [1e-3, 0.3, 20.0])
def test_ridge_is_that_of_scikit_learn(semantic_dim: int, penalty: float) -> None:
    semantics, means = data(semantic_dim)
    unit = normalize(semantics, dim=1).numpy()
    other = normal(9, semantic_dim, seed=4)
    theirs = Ridge(penalty, tol=1e-12).fit(unit, means.numpy())
    ours = fitted("ridge", semantics, means, penalty)
    expected = theirs.predict(normalize(other, dim=1).numpy())
    np.testing.assert_allclose(ours(other).numpy(), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("penalty", [1e-3, 0.3, 20.0])
def test_kernel_ridge_solves_its_plain_system(penalty: float) -> None:
    """``[K + lambda I, 1; 1, 0] [alpha; b] = [M; 0]``: the intercept is not penalized."""
    semantics, means = data()
    unit = normalize(semantics, dim=1)
    pairs = [(i, j) for i in range(CLASSES) for j in range(i)]
    median = float(torch.stack([(unit[i] - unit[j]).square().sum() for i, j in pairs]).median())

    def kernel(a: Tensor) -> Tensor:
        a = normalize(a, dim=1)
        return torch.tensor(
            [[torch.exp(-(x - y).square().sum() / (WIDTH * median)) for y in unit] for x in a],
            dtype=torch.float64,
        )

    system = torch.ones(CLASSES + 1, CLASSES + 1, dtype=torch.float64)
    system[:-1, :-1] = kernel(semantics) + penalty * torch.eye(CLASSES)
    system[-1, -1] = 0
    solution = torch.linalg.solve(system, torch.cat([means, torch.zeros(1, FEATURES)]))
    other = normal(9, 5, seed=4)
    expected = kernel(other) @ solution[:-1] + solution[-1]
    found = fitted("kernel_ridge", semantics, means, penalty)(other)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("penalty", [1e-3, 1.0])
def test_left_out_is_a_fit_without_the_class(
    form: str, penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's scale, and its landmarks, are those of all classes; all else is fitted anew."""
    semantics, means = data()
    whole = fitted(form, semantics, means, penalty)
    for number in range(CLASSES):
        rest = torch.arange(CLASSES) != number
        if whole.landmarks is None:
            again = fitted(form, semantics[rest], means[rest], penalty)
        else:
            terms = module.similarities(
                normalize(semantics, dim=1), whole.landmarks, torch.tensor(whole.inverse_width)
            )
            root = module._inverse_root(
                module.similarities(
                    whole.landmarks, whole.landmarks, torch.tensor(whole.inverse_width)
                )
            )
            again = next(
                module._fits(
                    WIDTH, whole.landmarks, whole.inverse_width, terms[rest], root, means[rest],
                    [penalty],
                )
            )  # fmt: skip
        expected = again(semantics[number][None])[0]
        torch.testing.assert_close(whole.left_out[number], expected, rtol=1e-7, atol=1e-8)
    others = (means.sum(dim=0) - means) / (CLASSES - 1)
    error = (whole.left_out - means).square().sum() / (others - means).square().sum()
    assert whole.determination == pytest.approx(1 - float(error), abs=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_a_strong_penalty_leaves_the_mean_and_predicts_nothing(form: str) -> None:
    semantics, means = data()
    found = fitted(form, semantics, means, 1e9)
    torch.testing.assert_close(
        found(semantics), means.mean(dim=0).expand(CLASSES, -1), rtol=1e-6, atol=1e-6
    )
    assert abs(found.determination) < 1e-6


def test_semantics_that_say_nothing_are_told_from_those_that_say_much() -> None:
    semantics, means = data()
    much = best_left_out(regressions("kernel_ridge", semantics, means))
    nothing = best_left_out(regressions("kernel_ridge", normal(CLASSES, 5, seed=9), means))
    assert much.determination > 0.4
    assert nothing.determination < 0.1


def test_many_classes_are_fitted_by_landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer landmarks than classes: ridge on Nystroem's features, by scikit-learn."""
    monkeypatch.setattr(module, "LANDMARKS", 6)
    semantics, means = data()
    found = fitted("kernel_ridge", semantics, means)
    unit = normalize(semantics, dim=1)
    landmarks = unit[[0, 2, 4, 7, 9, 11]]
    assert found.landmarks is not None
    torch.testing.assert_close(found.landmarks, landmarks)

    def kernel(a: Tensor) -> np.ndarray:
        distances = torch.cdist(a, landmarks).square()
        return np.asarray(torch.exp(-distances * found.inverse_width).numpy())

    values, vectors = np.linalg.eigh(kernel(landmarks))
    root = vectors / np.sqrt(values)
    theirs = Ridge(PENALTY, tol=1e-12).fit(kernel(unit) @ root, means.numpy())
    other = normal(9, 5, seed=4)
    expected = theirs.predict(kernel(normalize(other, dim=1)) @ root)
    np.testing.assert_allclose(found(other).numpy(), expected, rtol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_the_module_has_the_values_of_the_regression(form: str) -> None:
    semantics, means = data()
    one = fitted(form, semantics, means)
    anchor = Anchor(form, CLASSES, 5, FEATURES)
    anchor.take(one)
    other = normal(9, 5, seed=4)
    torch.testing.assert_close(anchor(other.float()), one(other).float(), rtol=1e-5, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(anchor(other.float()), one(other).float(), rtol=1e-5, atol=1e-5)
    again = Anchor(form, CLASSES, 5, FEATURES)
    again.load_state_dict(anchor.state_dict())
    assert torch.equal(again(other.float()), anchor(other.float()))
    assert not list(anchor.parameters())


def generators() -> Iterator[Generator]:
    semantics, means = data()
    for form in FORMS:
        anchor = Anchor(form, CLASSES, 5, FEATURES)
        anchor.take(fitted(form, semantics, means - 3))  # negative values too
        generator = Generator(3, 5, 8, FEATURES, anchor).double()
        with torch.no_grad():
            for seed, parameter in enumerate(generator.parameters()):
                parameter.copy_(normal(*parameter.shape, seed=seed))
        yield generator


@pytest.mark.parametrize("generator", list(generators()), ids=FORMS)
def test_the_generator_adds_what_it_learned_to_its_anchor(generator: Generator) -> None:
    noise, semantics = normal(20, 3, seed=5), normal(4, 5, seed=6)
    labels = torch.arange(20) % 4
    rows = torch.cat([noise, semantics[labels]], dim=1)
    hidden = rows @ generator.hidden.weight.T + generator.hidden.bias
    hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    learned = hidden @ generator.output.weight.T + generator.output.bias
    assert generator.anchor is not None
    expected = (learned + generator.anchor(semantics)[labels]).clamp_min(0)
    torch.testing.assert_close(generator(noise, semantics, labels), expected)
    torch.testing.assert_close(generator(noise, semantics[labels]), expected)
    assert not torch.allclose(expected, learned.clamp_min(0))
