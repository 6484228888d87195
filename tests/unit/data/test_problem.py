"""Problems: which rows are trained on and measured, and that selection sees no test row."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import gzsl_dist
from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.problem import Problem, final_problem, selection_problem
from gzsl_dist.errors import InputError

CONFIG = Config.model_validate({"data": {"semantics_norm": None}})


def dataset(*, validation_splits: bool = True) -> Dataset:
    """Ten classes of ten rows; class c has semantics (c, 1). Classes 1, 4 and 8 are unseen.

    As published splits do, ``train`` and ``val`` also hold test rows of seen classes.
    """
    labels = np.arange(100) % 10
    unseen = np.isin(labels, [1, 4, 8])
    test_seen = ~unseen & (np.arange(100) >= 80)
    splits = {
        "trainval": np.flatnonzero(~unseen & ~test_seen),
        "test_seen": np.flatnonzero(test_seen),
        "test_unseen": np.flatnonzero(unseen),
    }
    if validation_splits:
        splits["val"] = np.flatnonzero(np.isin(labels, [0, 9]))
        splits["train"] = np.flatnonzero(~unseen & ~np.isin(labels, [0, 9]))
    features = np.random.default_rng(0).uniform(size=(100, 3)).astype(np.float32)
    features[:, 0] = np.arange(100)  # the row's number survives scaling
    return Dataset(
        name="ten",
        features=features,
        labels=labels,
        semantics=np.stack([np.arange(10), np.ones(10)], axis=1).astype(np.float32),
        classes=tuple(f"class {c}" for c in range(10)),
        splits=splits,
    )


def row_numbers(problem: Problem, features: torch.Tensor) -> list[int]:
    numbers = features[:, 0] * problem.scaling.extent[0] + problem.scaling.minimum[0]
    return sorted(numbers.round().int().tolist())


def test_final_problem_has_the_official_rows() -> None:
    data = dataset()
    problem = final_problem(data, CONFIG)
    assert row_numbers(problem, problem.train.features) == data.splits["trainval"].tolist()
    assert row_numbers(problem, problem.seen.features) == data.splits["test_seen"].tolist()
    assert row_numbers(problem, problem.unseen.features) == data.splits["test_unseen"].tolist()
    assert problem.classes.tolist() == [0, 2, 3, 5, 6, 7, 9, 1, 4, 8]
    assert problem.seen_count == 7
    assert problem.semantics[:, 0].tolist() == problem.classes.tolist()
    assert problem.numbers(np.array([1, 0, 8])).tolist() == [7, 0, 9]


@pytest.mark.parametrize("final", [True, False])
def test_labels_point_at_the_semantics_of_their_class(final: bool) -> None:
    data = dataset()
    problem = final_problem(data, CONFIG) if final else selection_problem(data, CONFIG)
    for rows in (problem.train, problem.seen, problem.unseen):
        numbers = rows.features[:, 0] * problem.scaling.extent[0] + problem.scaling.minimum[0]
        true = data.labels[numbers.round().int().numpy()]
        assert problem.semantics[rows.labels, 0].tolist() == true.tolist()
    assert problem.train.labels.unique().tolist() == list(range(problem.seen_count))


@pytest.mark.parametrize("validation_splits", [True, False])
def test_selection_sees_no_test_row(validation_splits: bool) -> None:
    data = dataset(validation_splits=validation_splits)
    problem = selection_problem(data, CONFIG)
    used = [
        number
        for rows in (problem.train, problem.seen, problem.unseen)
        for number in row_numbers(problem, rows.features)
    ]
    assert sorted(used) == data.splits["trainval"].tolist()  # each once, and no other
    # nor does anything of it change when test rows do
    features = data.features.copy()
    features[np.concatenate([data.splits["test_seen"], data.splits["test_unseen"]])] = 1e6
    other = selection_problem(dataclasses.replace(data, features=features), CONFIG)
    assert torch.equal(other.train.features, problem.train.features)
    assert torch.equal(other.unseen.features, problem.unseen.features)


def test_selection_uses_the_published_validation_classes() -> None:
    problem = selection_problem(dataset(), CONFIG)
    assert problem.classes.tolist() == [2, 3, 5, 6, 7, 0, 9]
    assert problem.seen_count == 5
    # 8 training rows a class: 2 of them (0.2) are held out to measure S
    assert problem.seen.labels.bincount().tolist() == [2] * 5
    assert problem.train.labels.bincount().tolist() == [6] * 5


def test_selection_draws_classes_by_seed_and_says_so() -> None:
    data = dataset(validation_splits=False)
    problem = selection_problem(data, CONFIG)
    assert len(problem.classes) - problem.seen_count == 2  # 7 seen * 3 unseen / 10
    assert "drawn" in problem.note
    assert "seed 0" in problem.note
    drawn = {
        tuple(
            selection_problem(
                data, Config.model_validate({"train": {"seed": seed}})
            ).classes.tolist()
        )
        for seed in range(5)
    }
    assert len(drawn) > 1
    again = selection_problem(data, CONFIG)
    assert again.classes.tolist() == problem.classes.tolist()


def test_scaling_is_fitted_on_training_rows_only() -> None:
    data = dataset()
    for problem in (final_problem(data, CONFIG), selection_problem(data, CONFIG)):
        assert problem.train.features.min() == 0
        assert problem.train.features.max() == 1
    assert final_problem(data, CONFIG).unseen.features.max() > 1


def test_too_few_classes_for_validation() -> None:
    data = dataset(validation_splits=False)
    labels = np.where(np.isin(data.labels, [1, 4, 8]), 1, data.labels % 2 * 2)
    small = dataclasses.replace(data, labels=labels, semantics=data.semantics[:3])
    with pytest.raises(InputError, match=r"--evaluation\.selection fixed"):
        selection_problem(small, CONFIG)


def test_scaling_of_selection_knows_neither_validation_nor_held_out_rows() -> None:
    data = dataset()
    problem = selection_problem(data, CONFIG)
    trained = row_numbers(problem, problem.train.features)
    features = data.features.copy()
    features[np.setdiff1d(np.arange(100), trained)] *= 100
    other = selection_problem(dataclasses.replace(data, features=features), CONFIG)
    assert torch.equal(other.train.features, problem.train.features)
    assert np.array_equal(other.scaling.extent, problem.scaling.extent)
    assert other.seen.features.max() > 1


@pytest.mark.parametrize("semantics", [[[1], [2], [3], [4]], [[1, 2], [0, 1], [3, 0], [2, 4]]])
def test_semantics_that_differ_in_length_alone_are_refused(semantics: list[list[float]]) -> None:
    """Scaled to one length they would be equal, and the classes one."""
    rows = np.random.default_rng(0).random((12, 5))
    labels = [number % 3 for number in range(12)]
    data = gzsl_dist.Dataset.from_arrays(rows, labels, dict(enumerate(semantics)))
    with pytest.raises(InputError, match=r"semantics of classes '\d' and '\d' differ in length"):
        final_problem(data, Config())
    final_problem(data, Config.model_validate({"data": {"semantics_norm": None}}))
