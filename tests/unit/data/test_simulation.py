"""Simulated data: the shapes asked for, valid, repeatable, and possible to learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gzsl_dist.data import simulation
from gzsl_dist.data.simulation import SHAPES, Shape, SimulatedFeatures, reachable_t1, simulate
from gzsl_dist.data.validation import validate
from gzsl_dist.errors import InputError

from .test_digits import ridge_t1


@pytest.mark.parametrize("like", ["cub", "awa2", "sun"])
def test_shapes(like: str) -> None:
    shape = SHAPES[like]
    rows = 5 * (shape.seen + shape.unseen)
    data = simulate(like, rows)
    validate(data)
    assert data.features.shape == (rows, shape.feature_dim)
    assert data.features[:].dtype == np.float32
    assert data.features[:].min() >= 0
    assert data.semantics.shape == (shape.seen + shape.unseen, shape.semantic_dim)
    assert len(data.seen_classes) == shape.seen
    assert len(data.unseen_classes) == shape.unseen
    validation = np.unique(data.labels[data.splits["val"]])
    assert len(validation) == shape.seen // 3
    assert not np.isin(validation, data.labels[data.splits["train"]]).any()
    assert np.isin(
        np.concatenate([data.splits["train"], data.splits["val"]]), data.splits["trainval"]
    ).all()


def test_the_largest_shape_has_21841_classes() -> None:
    shape = SHAPES["imagenet21k"]
    assert shape.seen + shape.unseen == 21_841
    assert shape.semantic_dim == 512


def test_another_number_of_classes_has_as_large_a_part_unseen() -> None:
    data = simulate("imagenet21k", classes=2184, feature_dim=32)
    assert (len(data.seen_classes), len(data.unseen_classes)) == (2084, 100)
    assert data.features.shape == (10_920, 32)
    validate(data)
    assert 0.5 < reachable_t1("imagenet21k", None, 0, 0.0, 200, 64) <= 1
    with pytest.raises(InputError, match="--classes 7: must be at least 8"):
        simulate("cub", classes=7)


def test_the_seed_decides() -> None:
    assert simulate("awa2", 300).fingerprint == simulate("awa2", 300).fingerprint
    assert simulate("awa2", 300).fingerprint != simulate("awa2", 300, seed=1).fingerprint


def test_unseen_classes_can_be_inferred_from_semantics(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Shape(seen=80, unseen=10, feature_dim=256, semantic_dim=16, rows=1800)
    monkeypatch.setitem(simulation.SHAPES, "awa2", small)
    data = simulate("awa2")
    assert ridge_t1(data, data.splits["trainval"], data.splits["test_unseen"]) > 0.4  # chance: 0.1


def test_difficulty_bounds_what_a_ridge_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Shape(seen=200, unseen=20, feature_dim=128, semantic_dim=16, rows=2640)
    monkeypatch.setitem(simulation.SHAPES, "sun", small)
    reachable, ridge = {}, {}
    for private in (0.0, 0.8, 0.95):
        # A class is told or not as a whole, so figures of few classes need several draws.
        drawn = [(simulate("sun", seed=seed, private=private), seed) for seed in range(4)]
        reachable[private] = np.mean([reachable_t1("sun", None, s, private) for _, s in drawn])
        ridge[private] = np.mean(
            [ridge_t1(d, d.splits["trainval"], d.splits["test_unseen"]) for d, _ in drawn]
        )
        assert ridge[private] < reachable[private] + 0.05, private
    assert reachable[0.0] > 0.95
    assert reachable[0.0] > reachable[0.8] + 0.05 > reachable[0.95] + 0.2
    assert reachable[0.95] > 2 / 20  # twice chance: semantics still tell something


def test_the_variance_of_class_means_does_not_depend_on_the_private_share() -> None:
    spread = [simulate("awa2", 300, private=share).features._means.std() for share in (0.0, 0.8)]  # type: ignore[attr-defined]
    assert spread[1] == pytest.approx(spread[0], rel=0.1)


def test_fresh_rows_have_the_directions_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SimulatedFeatures] = []

    class Watched(SimulatedFeatures):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            made.append(self)

    monkeypatch.setattr(simulation, "SimulatedFeatures", Watched)
    reachable_t1("awa2", 300)
    data, *fresh = made
    assert len(fresh) == 2
    for features in fresh:
        assert np.array_equal(features._shared, data._shared)
    assert len({features._first_draw for features in made}) == 3  # rows of their own


@pytest.mark.parametrize("private", [-0.1, 1.0, float("nan")])
def test_a_private_share_out_of_range_is_told(private: float) -> None:
    with pytest.raises(InputError, match="--private"):
        simulate("awa2", 300, private=private)


def test_an_unknown_shape_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"like 'cup': .*cub, awa2"):
        simulate("cup")


def test_too_few_rows_name_the_minimum() -> None:
    with pytest.raises(InputError, match="--rows 100: 200 classes like cub need at least 800"):
        simulate("cub", 100)
    validate(simulate("cub", 800))
