"""The softmax classifier against scikit-learn's logistic regression."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.classifier import (
    REFERENCE_CLASSES,
    SoftmaxClassifier,
    fit_softmax_blocks,
)

from .fit import fit_softmax

ALONE = DistributedContext(0, 1, torch.device("cpu"))


def rows(count: int = 200, width: int = 6, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    labels = torch.randint(classes, (count,), generator=draw)
    centers = 2 * torch.randn(classes, width, generator=draw)
    return centers[labels] + torch.randn(count, width, generator=draw) + 5, labels


def at_4(penalty: float) -> float:
    """The weight decay whose penalty is this for four classes."""
    return penalty * 4 / REFERENCE_CLASSES


def fit(x: torch.Tensor, y: torch.Tensor, decay: float = 1e-2) -> SoftmaxClassifier:
    return fit_softmax(x, y, 4, ALONE, weight_decay=at_4(decay), iterations=500)


@pytest.mark.parametrize("classes", [4, 12])
def test_equals_scikit_learn_at_the_same_penalty(classes: int) -> None:
    """The penalty shrinks as one over the classes, as a class's share of the mean loss does."""
    x, y = rows(50 * classes, classes=classes)
    length = float(x.square().sum(dim=1).mean().sqrt())
    ours = fit_softmax(x, y, classes, ALONE, weight_decay=1e-3, iterations=500).scores(x)
    # scikit-learn minimizes C * sum of losses + ||W||^2 / 2 on inputs of unit mean square length
    penalty = 1e-3 * 200 / classes
    reference = LogisticRegression(C=1 / (penalty * len(y)), tol=1e-8, max_iter=10_000)
    reference.fit((x / length).numpy(), y.numpy())
    theirs = reference.predict_log_proba((x / length).numpy())
    np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-3)


def test_does_not_depend_on_the_scale_of_inputs() -> None:
    x, y = rows()
    torch.testing.assert_close(
        fit(1000 * x, y).scores(1000 * x), fit(x, y).scores(x), atol=1e-3, rtol=1e-3
    )


def test_does_not_depend_on_the_order_of_rows() -> None:
    x, y = rows()
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        fit(x[order], y[order]).scores(x), fit(x, y).scores(x), atol=1e-3, rtol=1e-3
    )


def test_more_penalty_gives_smaller_weights() -> None:
    x, y = rows()
    assert fit(x, y, 1.0).weight.norm() < 0.5 * fit(x, y, 1e-3).weight.norm()


def test_a_class_without_rows_is_never_preferred() -> None:
    x, y = rows()
    assert fit(x[y < 3], y[y < 3]).scores(x).argmax(dim=1).max() < 3


def test_scores_are_log_probabilities() -> None:
    x, y = rows()
    assert fit(x, y).scores(x).exp().sum(dim=1).numpy() == pytest.approx(1, abs=1e-5)


def test_rows_that_count_less_are_as_fewer_rows() -> None:
    """Each row of class 3 three times, at a third of the weight, changes nothing."""
    x, y = rows()
    often = torch.where(y == 3, 3, 1)
    weights = torch.tensor([1.0, 1.0, 1.0, 1 / 3])
    many_x, many_y = x.repeat_interleave(often, dim=0), y.repeat_interleave(often)
    settings = {"weight_decay": at_4(1e-2), "iterations": 500}
    weighted = fit_softmax_blocks(
        lambda: zip(many_x.split(50), many_y.split(50), strict=True),
        x[:0], 4, ALONE, class_weights=weights, **settings,
    )  # fmt: skip
    torch.testing.assert_close(weighted.scores(x), fit(x, y).scores(x), atol=1e-3, rtol=1e-3)
    unweighted = fit_softmax(many_x, many_y, 4, ALONE, **settings)
    assert (unweighted.scores(x) - fit(x, y).scores(x)).abs().max() > 0.1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_looser_tolerance_needs_fewer_passes_for_the_same_decisions(precision: str) -> None:
    x, y = rows(400, 16)
    passes: dict[float, int] = {}

    def fitted(tolerance: float) -> SoftmaxClassifier:
        def blocks() -> list[tuple[torch.Tensor, torch.Tensor]]:
            passes[tolerance] = passes.get(tolerance, 0) + 1
            return [(x, y)]

        return fit_softmax_blocks(
            blocks,
            x[:0],
            4,
            ALONE,
            weight_decay=at_4(1e-3),
            iterations=500,
            tolerance=tolerance,
            precision=precision,
        )

    exact = fit_softmax(x, y, 4, ALONE, weight_decay=at_4(1e-3), iterations=500)
    loose = fitted(1e-4)
    fitted(1e-9)
    assert passes[1e-4] < passes[1e-9]
    same = (loose.scores(x).argmax(1) == exact.scores(x).argmax(1)).float().mean()
    assert same > 0.97
    assert loose.weight.dtype == torch.float32


def test_bfloat16_is_of_the_products_alone() -> None:
    x, y = rows()
    settings = {"weight_decay": at_4(1e-2), "iterations": 500}
    exact = fit_softmax(x, y, 4, ALONE, **settings).scores(x)
    rounded = fit_softmax(x, y, 4, ALONE, precision="bfloat16", **settings).scores(x)
    assert 1e-5 < float((rounded - exact).abs().max()) < 0.3
