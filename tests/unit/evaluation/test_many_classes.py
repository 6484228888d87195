"""The softmax classifier at any number of classes, against minima that others converged to.

torch's L-BFGS stops on absolute numbers, and gradients of a mean shrink as one over the classes:
with 10,000 of them it made no step at all.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize as scipy_minimize
from torch import Tensor

from gzsl_dist.config import EvaluationSettings
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation import time_left
from gzsl_dist.evaluation.classifier import REFERENCE_CLASSES, SoftmaxClassifier
from gzsl_dist.evaluation.lbfgs import minimize

from .fit import fit_softmax

ALONE = DistributedContext(0, 1, torch.device("cpu"))
DEFAULTS = EvaluationSettings()


def clusters(classes: int, width: int, each: int, noise: float) -> tuple[Tensor, Tensor]:
    """Rows about one center a class, in float64."""
    draw = torch.Generator().manual_seed(0)
    centers = torch.randn(classes, width, generator=draw, dtype=torch.float64)
    labels = torch.arange(classes).repeat(each)
    noises = torch.randn(len(labels), width, generator=draw, dtype=torch.float64)
    return torch.relu(centers[labels] + noise * noises), labels


def by_default(inputs: Tensor, labels: Tensor, classes: int) -> SoftmaxClassifier:
    return fit_softmax(
        inputs,
        labels,
        classes,
        ALONE,
        weight_decay=DEFAULTS.weight_decay,
        iterations=DEFAULTS.iterations,
        tolerance=DEFAULTS.tolerance,
    )


def converged(inputs: Tensor, labels: Tensor, classes: int, empty: int = 0) -> Tensor:
    """Log-probabilities of the minimum that scipy finds in float64, by autograd's gradient.

    Args:
        inputs: ``(rows, d)``.
        labels: of the classes that have rows, the first ones.
        classes: how many there are in all.
        empty: how many of them have no row. At the minimum these are all alike (the objective is
            convex and they may be exchanged), so one of them stands for all.
    """
    width, distinct = inputs.shape[1], classes - empty + bool(empty)
    length = inputs.square().sum(dim=1).mean().sqrt()
    times = torch.ones(distinct, dtype=torch.float64)
    times[-1] = empty or 1
    penalty = DEFAULTS.weight_decay * REFERENCE_CLASSES / classes

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        values = torch.from_numpy(flat).requires_grad_()
        weight, bias = values[:-distinct].view(distinct, width), values[-distinct:]
        scores = torch.log_softmax(inputs / length @ weight.T + bias + times.log(), dim=1)
        loss = torch.nn.functional.nll_loss(scores, labels)
        loss = loss + penalty / 2 * (times @ weight.square().sum(dim=1))
        (gradient,) = torch.autograd.grad(loss, values)
        # a unit in which the gradient of one class is not small beside scipy's tolerances
        return loss.item() * classes, gradient.numpy() * classes

    found = scipy_minimize(
        objective,
        np.zeros(distinct * (width + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "maxfun": 5000, "maxcor": 30, "ftol": 1e-11, "gtol": 1e-7},
    )
    flat = torch.from_numpy(found.x)
    weight, bias = flat[:-distinct].view(distinct, width), flat[-distinct:]
    return torch.log_softmax(inputs / length @ weight.T + bias + times.log(), dim=1)


@pytest.mark.parametrize(
    ("classes", "width", "each", "noise"),
    [(2, 5, 40, 1.0), (200, 16, 10, 0.5), (1200, 12, 1, 0.3)],
)
def test_default_settings_are_near_the_converged_minimum(
    classes: int, width: int, each: int, noise: float
) -> None:
    inputs, labels = clusters(classes, width, each, noise)
    expected = converged(inputs, labels, classes)
    classifier = by_default(inputs.float(), labels, classes)
    found = classifier.scores(inputs.float())
    assert classifier.fit is not None
    assert classifier.fit.ended == "converged"
    at_label = torch.arange(len(labels)), labels
    # as near in loss as the tolerance says, and the same decisions
    assert found[at_label].mean() >= expected[at_label].mean() - 0.02 * np.log(classes)
    same = found.argmax(dim=1) == expected.argmax(dim=1)
    assert same.double().mean() > 0.97


def test_twenty_thousand_classes_of_which_few_have_rows() -> None:
    """Here the converged minimum is cheap: all classes without rows are alike."""
    inputs, labels = clusters(100, 12, 3, 0.5)
    expected = converged(inputs, labels, 20_000, empty=19_900)
    found = by_default(inputs.float(), labels, 20_000).scores(inputs.float())
    torch.testing.assert_close(
        found[:, 100:].exp().sum(dim=1).double(), expected[:, 100].exp(), atol=0.02, rtol=0
    )
    same = found.argmax(dim=1) == expected.argmax(dim=1)
    assert same.double().mean() > 0.97


def test_eleven_thousand_rows_of_twelve_thousand_classes() -> None:
    """The gradient of a class is 1 / 11,000 of a row's: with absolute criteria no step is made."""
    inputs, labels = (part[:11_000] for part in clusters(12_000, 8, 1, 0.0))
    classifier = fit_softmax(
        inputs.float(), labels, 12_000, ALONE, weight_decay=1e-6, iterations=4, tolerance=1e-3
    )
    assert classifier.fit is not None
    assert classifier.fit.iterations == 4
    scores = classifier.scores(inputs[:2000].float())
    loss = -float(scores[torch.arange(2000), labels[:2000]].mean())
    # the classes with rows have equal shares: log(11,000) needs no more than the bias
    assert loss < np.log(11_000) - 1


@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e9])
def test_decisions_have_no_scale(factor: float) -> None:
    """A function times any number is minimized by the same points."""
    inputs, labels = clusters(5, 4, 30, 1.0)
    points: list[Tensor] = []

    def function(flat: Tensor) -> tuple[float, Tensor]:
        values = flat.clone().requires_grad_()
        scores = inputs @ values[:20].view(5, 4).T + values[20:]
        loss = torch.nn.functional.cross_entropy(scores, labels) + 1e-3 * values.square().sum()
        (gradient,) = torch.autograd.grad(loss, values)
        points.append(flat)
        return factor * float(loss), factor * gradient

    start = torch.zeros(25, dtype=torch.float64)
    found, summary = minimize(
        function, start, lambda a, b: float(a @ b), iterations=200, tolerance=1e-10
    )
    assert summary.ended == "converged"
    assert summary.evaluations == len(points)
    assert summary.iterations > 10
    _, gradient = function(found)
    assert gradient.norm() / factor < 1e-4
    if factor == 1.0:
        again, other = minimize(
            lambda x: tuple(1024.0 * part for part in function(x)),  # type: ignore[return-value]
            start, lambda a, b: float(a @ b), iterations=200, tolerance=1e-10,
        )  # fmt: skip
        assert torch.equal(again, found), "a power of two changes no digit"
        assert other.evaluations == summary.evaluations


def test_a_minimum_at_the_start_is_found_without_a_step() -> None:
    start = torch.zeros(3, dtype=torch.float64)
    found, summary = minimize(
        lambda x: (1 + float(x @ x), 2 * x), start, lambda a, b: float(a @ b),
        iterations=10, tolerance=1e-6,
    )  # fmt: skip
    assert torch.equal(found, start)
    assert (summary.ended, summary.iterations, summary.relative_gradient) == ("converged", 0, 0.0)


def test_a_long_fit_tells_how_long_it_may_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, labels = clusters(50, 8, 4, 0.5)
    options = {"weight_decay": 1e-4, "iterations": 2}
    fit_softmax(inputs, labels, 50, ALONE, **options)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(time_left, "SECONDS_BETWEEN_LINES", 0)
    fit_softmax(inputs, labels, 50, ALONE, **options)
    first = capsys.readouterr().out.splitlines()[0]
    assert re.match(r"\d\d:\d\d:\d\d classifier: pass 1 over the rows, .* about \d+ s left", first)


def test_the_time_left_is_that_of_a_usual_fit_not_of_all_iterations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CUB: "at most about 414 s" for what took half a minute."""
    now = iter(range(0, 1000, 4))  # a pass of four seconds
    monkeypatch.setattr(time_left.time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(time_left, "SECONDS_BETWEEN_LINES", 0)
    point = torch.zeros(1)
    function = time_left.with_time_left(lambda at: (0.0, at), 100, ALONE)
    for _ in range(60):
        function(point)
    lines = capsys.readouterr().out.splitlines()
    assert "pass 10 over the rows, 4.0 s each, about 2 min 40 s left, if it conv" in lines[9]
    assert lines[54].endswith("at most about 3 min 00 s left")


def test_an_end_without_convergence_is_told() -> None:
    inputs, labels = clusters(50, 8, 4, 0.5)
    classifier = fit_softmax(inputs, labels, 50, ALONE, weight_decay=1e-4, iterations=2)
    assert classifier.fit is not None
    assert (classifier.fit.ended, classifier.fit.iterations) == ("iterations", 2)
    assert "--evaluation.iterations" in str(classifier.warning())
    assert by_default(inputs, labels, 50).warning() is None
