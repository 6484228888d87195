"""Softmax over cosines, and logit adjustment, against plain code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from gzsl_dist.config import Config
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.classifier import SoftmaxClassifier, fit_softmax_blocks
from gzsl_dist.evaluation.classifier_form import Cosine
from gzsl_dist.evaluation.classifier_space import ClassifierSpace
from gzsl_dist.evaluation.sharded_classifier import fit_softmax_sharded

from .fit import fit_softmax

ALONE = DistributedContext(0, 1, torch.device("cpu"))
CLASSES, TEMPERATURE = 4, 0.2


def rows(length: float = 1.0) -> tuple[Tensor, Tensor]:
    """Overlapping classes of 10 to 70 rows, all of one length."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.arange(CLASSES).repeat_interleave(torch.tensor([10, 30, 50, 70]))
    centers = torch.randn(CLASSES, 6, generator=draw, dtype=torch.float64)
    noise = torch.randn(len(labels), 6, generator=draw, dtype=torch.float64)
    return length * normalize(centers[labels] + 1.5 * noise, dim=1), labels


def fit(x: Tensor, y: Tensor, classes: int = CLASSES, **options: Any) -> SoftmaxClassifier:
    given = {"weight_decay": 1e-4, "iterations": 500, "tolerance": 1e-12}
    return fit_softmax(x, y, classes, ALONE, **{**given, **options})


@pytest.mark.parametrize("length", [1.0, 2**0.5, 30.0])
@pytest.mark.parametrize("adjustment", [0.0, 0.7])
def test_it_is_the_minimum_that_scipy_finds_from_class_means(
    length: float, adjustment: float
) -> None:
    x, y = rows(length)
    unit = normalize(x, dim=1)
    shift = adjustment * torch.log(y.bincount().double() / len(y))
    means = torch.stack([unit[y == label].mean(dim=0) for label in range(CLASSES)])

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        weight = torch.tensor(values).view(CLASSES, -1).requires_grad_(True)
        logits = unit @ normalize(weight, dim=1).T / TEMPERATURE + shift
        loss = cross_entropy(logits, y)
        (slope,) = torch.autograd.grad(loss, weight)
        return float(loss.detach()), slope.numpy().ravel()

    theirs = minimize(
        objective, normalize(means, dim=1).numpy().ravel(), jac=True, tol=1e-14,
        options={"maxiter": 5000},
    )  # fmt: skip
    expected = normalize(torch.tensor(theirs.x).view(CLASSES, -1), dim=1)
    found = fit(x, y, temperature=TEMPERATURE, adjustment=adjustment)
    ours = normalize(found.weight, dim=1)
    assert abs(objective(ours.numpy().ravel())[0] - theirs.fun) < 1e-9
    assert objective(means.numpy().ravel())[0] - theirs.fun > 1e-2
    # along the flattest direction of the objective the two are still a little apart
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-2)
    torch.testing.assert_close(found.weight.norm(dim=1) * length * TEMPERATURE, torch.ones(4).to(x))
    assert not found.bias.any()
    assert found.fit is not None
    assert found.fit.ended == "converged"


def test_it_begins_with_class_means() -> None:
    x, y = rows()
    found = fit(x, y, temperature=TEMPERATURE, iterations=0)
    for label in range(CLASSES):
        mean = normalize(x[y == label].mean(dim=0), dim=0)
        torch.testing.assert_close(found.weight[label] * TEMPERATURE, mean)


def test_its_gradient_is_that_of_autograd() -> None:
    draw = torch.Generator().manual_seed(2)
    matrix = torch.randn(3, 5, generator=draw, dtype=torch.float64).requires_grad_(True)
    slope = torch.randn(3, 5, generator=draw, dtype=torch.float64)
    form = Cosine(0.3)
    (form.weight(matrix, 2.5) * slope).sum().backward()
    plain = matrix.detach()
    found, of_bias = form.gradient(plain, slope.clone(), torch.ones(3), 2.5)
    torch.testing.assert_close(found, matrix.grad)
    assert not of_bias.any()


@pytest.mark.parametrize("how", [fit_softmax_blocks, fit_softmax_sharded])
def test_blocks_and_float32_give_the_same(how: Callable[..., SoftmaxClassifier]) -> None:
    x, y = rows()
    whole = fit(x, y, temperature=TEMPERATURE)
    x = x.float()
    parts = list(zip(x.split(7), y.split(7), strict=True))
    found = how(
        lambda: parts, x[:0], CLASSES, ALONE, weight_decay=1e-4, iterations=500, tolerance=1e-9,
        temperature=TEMPERATURE,
    )  # fmt: skip
    expected = whole.scores(x.double()).float()
    torch.testing.assert_close(found.scores(x), expected, rtol=1e-2, atol=1e-2)


def test_a_class_without_rows_is_never_preferred() -> None:
    x, y = rows()
    found = fit(x, y, CLASSES + 2, temperature=TEMPERATURE)
    opposite = torch.cat([x, -x])
    assert found.scores(opposite).isfinite().all()
    assert found.scores(opposite).argmax(dim=1).max() < CLASSES


def test_adjusting_a_linear_classifier_moves_its_biases_alone() -> None:
    """Biases are free: what is added to the logits in the fit is missing from them after."""
    x, y = rows()
    plain, adjusted = fit(x, y), fit(x, y, adjustment=0.7)
    shift = 0.7 * torch.log(y.bincount().double() / len(y))
    torch.testing.assert_close(adjusted.weight, plain.weight, rtol=1e-3, atol=1e-3)
    moved = plain.bias - adjusted.bias
    torch.testing.assert_close(moved - moved.mean(), shift - shift.mean(), rtol=1e-3, atol=1e-3)


def test_rows_of_a_cosine_classifier_have_one_length() -> None:
    values = {"classifier": "cosine", "space": "xh", "unit_length": False}
    settings = Config.model_validate({"evaluation": values}).evaluation
    space = ClassifierSpace.configured(settings)
    assert space.unit_length
    assert not ClassifierSpace.configured(Config().evaluation).unit_length
