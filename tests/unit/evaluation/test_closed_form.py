"""The classifier of very many classes, against scikit-learn's discriminant and class means."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor
from torch.nn.functional import normalize

from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import final_problem, selection_problem
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation import closed_form
from gzsl_dist.evaluation.closed_form import LOWEST, fit_closed_form, is_too_large
from tests.distributed.spawn import run_processes

ALONE = DistributedContext(0, 1, torch.device("cpu"))
CLASSES = 5


def rows() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 7 % CLASSES
    mixed = torch.randn(200, 4, generator=draw) @ torch.randn(4, 4, generator=draw)
    return 3 + torch.randn(CLASSES, 4, generator=draw)[labels] + mixed, labels


def fitted(processes: DistributedContext, classes: int = CLASSES, **given: Any) -> list[Tensor]:
    x, y = given.pop("rows", None) or rows()
    mine = processes.shard(len(x))
    options: dict[str, Any] = {
        "class_weights": torch.ones(classes), "temperature": None, "adjustment": 0.0,
        "precision": "float32",
    }  # fmt: skip
    blocks = list(zip(x[mine].split(7), y[mine].split(7), strict=True))
    found = fit_closed_form(lambda: blocks, x[:0], classes, processes, **options | given)
    assert found.fit is not None
    assert found.fit.ended == "closed form"
    return [found.weight, found.bias, found.scores(x)]


def test_it_is_the_linear_discriminant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_form, "SHRINKAGE", 0.0)
    x, y = rows()
    expected = LinearDiscriminantAnalysis("lsqr").fit(x.double().numpy(), y.numpy())
    found = fitted(ALONE)[2].numpy()
    np.testing.assert_allclose(found, expected.predict_log_proba(x), rtol=1e-3, atol=1e-3)


def test_a_weight_counts_as_so_many_rows() -> None:
    x, y = rows()
    twice = torch.cat([x, x[y == 1]]), torch.cat([y, y[y == 1]])
    weights = torch.ones(CLASSES)
    weights[1] = 2
    once, again = fitted(ALONE, class_weights=weights), fitted(ALONE, rows=twice)
    torch.testing.assert_close(once[0], again[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(once[1], again[1], rtol=1e-4, atol=1e-4)


def test_adjustment_takes_the_shares_out_of_the_biases() -> None:
    weight, bias, _ = fitted(ALONE)
    other, adjusted, _ = fitted(ALONE, adjustment=1.0)
    shares = rows()[1].bincount() / 200
    assert torch.equal(weight, other)
    torch.testing.assert_close(bias - adjusted, shares.log(), rtol=1e-4, atol=1e-4)


def test_cosines_are_those_of_class_means() -> None:
    x, y = rows()
    x = normalize(x, dim=1) * 2**0.5  # two parts of length 1
    weight, bias, _ = fitted(ALONE, rows=(x, y), temperature=0.2)
    means = torch.stack([normalize(x[y == label].mean(dim=0), dim=0) for label in range(CLASSES)])
    torch.testing.assert_close(weight, means / (0.2 * 2**0.5))
    assert not bias.any()


@pytest.mark.parametrize("x", [rows()[0], torch.ones(200, 4)], ids=["rows", "all rows alike"])
def test_a_class_without_rows_is_never_preferred(x: Tensor) -> None:
    _, bias, scores = fitted(ALONE, CLASSES + 1, rows=(x, rows()[1]))
    assert scores.isfinite().all()
    assert scores.argmax(dim=1).max() < CLASSES
    assert bias[CLASSES] == LOWEST


@pytest.mark.parametrize("temperature", [None, 0.2])
def test_it_does_not_depend_on_the_number_of_processes(temperature: float | None) -> None:
    alone = fitted(ALONE, temperature=temperature)
    found = run_processes(3, _on_each, temperature)
    for parts in found:
        for part, expected in zip(parts, alone, strict=True):
            torch.testing.assert_close(part, expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(parts[0], found[0][0])


def _on_each(processes: DistributedContext, temperature: float | None) -> list[Tensor]:
    return fitted(processes, temperature=temperature)


def test_selection_and_the_end_have_one_kind_of_classifier() -> None:
    """The calibration factor that validation classes choose must fit the final classifier."""
    config = Config()
    data = digits_dataset()
    problems = selection_problem(data, config), final_problem(data, config)
    rows_and_classes = len(data.splits["trainval"]), len(data.classes)
    needed = (
        config.evaluation.iterations
        * rows_and_classes[1]
        * (rows_and_classes[0] + config.evaluation.rows_per_class * len(data.unseen_classes))
    )
    for limit, large in ((needed, False), (needed - 1, True)):
        settings = config.evaluation.model_copy(update={"fit_logits": limit})
        assert [is_too_large(problem, settings) for problem in problems] == [large, large]
    assert not is_too_large(dataclasses.replace(problems[0], final_size=(0, 0, 0)), settings)
