"""Scaling against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler

from gzsl_dist.data.scaling import Scaling, scale_semantics

DRAW = np.random.default_rng(0)
TRAIN = DRAW.gamma(1, 3, size=(30, 4)).astype(np.float32)
TEST = DRAW.gamma(1, 6, size=(20, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("transform", "function"),
    [("none", lambda x: x), ("sqrt", np.sqrt), ("log1p", np.log1p)],
)
def test_equals_scikit_learn(transform: str, function) -> None:
    scaling = Scaling.fit(TRAIN, transform)
    reference = MinMaxScaler().fit(function(TRAIN))
    np.testing.assert_allclose(scaling(TEST), reference.transform(function(TEST)), rtol=1e-5)
    assert scaling(TEST).max() > 1, "rows beyond the training range must not be clipped"


@pytest.mark.parametrize("transform", ["none", "sqrt", "log1p"])
def test_scaled_features_are_restored(transform: str) -> None:
    features = np.concatenate([TEST, -TEST])
    scaling = Scaling.fit(TRAIN, transform)
    np.testing.assert_allclose(scaling.restore(scaling(features)), features, rtol=1e-4, atol=1e-4)


def test_a_constant_feature_becomes_zero() -> None:
    train = TRAIN.copy()
    train[:, 2] = 4
    scaled = Scaling.fit(train)(train)
    assert (scaled[:, 2] == 0).all()
    assert np.isfinite(scaled).all()


def test_scaling_leaves_its_input_alone() -> None:
    before = TRAIN.copy()
    Scaling.fit(TRAIN)(TRAIN)
    assert (before == TRAIN).all()


def test_semantics_get_the_asked_length() -> None:
    scaled = scale_semantics(TRAIN, 8.0)
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), 8, rtol=1e-5)
    np.testing.assert_allclose(scaled[0] / TRAIN[0], scaled[0, 0] / TRAIN[0, 0], rtol=1e-5)
    assert scale_semantics(TRAIN, None) is TRAIN
