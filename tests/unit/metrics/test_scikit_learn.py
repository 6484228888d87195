"""The scorer against scikit-learn's own accuracies, and folds that hold out classes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from gzsl_dist.metrics import ClassFold, harmonic_mean_scorer


class Fixed(BaseEstimator):
    """Predicts what it was given."""

    def __init__(self, predictions: np.ndarray, unseen: list[str]) -> None:
        self.predictions, self.unseen = predictions, unseen
        self.unseen_classes_ = np.array(unseen)

    def fit(self, X: object, y: object) -> Fixed:
        return self

    def predict(self, X: object) -> np.ndarray:
        return self.predictions


def test_h_is_the_harmonic_mean_of_mean_recalls() -> None:
    rng = np.random.default_rng(0)
    names = np.array(["cat", "dog", "okapi", "zebra"])
    y = np.concatenate([names, rng.choice(names, 60, p=[0.6, 0.2, 0.1, 0.1])])
    predictions = np.where(rng.random(64) < 0.6, y, rng.choice(names, 64))
    unseen = np.isin(y, ["okapi", "zebra"])
    u, s = (
        recall_score(y[part], predictions[part], average=None, labels=np.unique(y[part])).mean()
        for part in (unseen, ~unseen)
    )
    estimator = Fixed(predictions, ["okapi", "zebra"])
    expected = 2 * u * s / (u + s)
    assert harmonic_mean_scorer(estimator, y[:, None], y) == pytest.approx(expected, abs=1e-12)
    pipeline = make_pipeline(FunctionTransformer(), estimator)
    assert harmonic_mean_scorer(pipeline, y[:, None], y) == pytest.approx(expected, abs=1e-12)


def test_h_without_unseen_or_seen_samples_is_refused() -> None:
    for names, lacking in ((["cat"], "unseen"), (["okapi"], "seen")):
        y = np.array(names * 3)
        with pytest.raises(ValueError, match=f"y has no {lacking} class"):
            harmonic_mean_scorer(Fixed(y, ["okapi"]), y, y)


def test_h_of_a_model_that_is_always_wrong_is_0() -> None:
    y = np.array(["cat", "okapi"])
    assert harmonic_mean_scorer(Fixed(y[::-1], ["okapi"]), y, y) == 0.0


def test_folds_hold_out_disjoint_classes_and_samples_of_the_others() -> None:
    y = np.repeat(np.arange(7), [2, 5, 10, 10, 10, 10, 20])
    tested = []
    for train, test in ClassFold(3, held_out=0.3).split(y, y):
        assert not set(train) & set(test)
        unseen = set(y) - set(y[train])
        tested += sorted(unseen)
        assert all(set(np.flatnonzero(y == label)) <= set(test) for label in unseen)
        seen_tested = [label for label in y[test] if label not in unseen]
        for label in set(y) - unseen:
            assert seen_tested.count(label) == max(1, round(0.3 * (y == label).sum()))
    assert sorted(tested) == list(range(7))
    again = [test.tolist() for _, test in ClassFold(3, held_out=0.3).split(y, y)]
    other = [test.tolist() for _, test in ClassFold(3, held_out=0.3, random_state=1).split(y, y)]
    assert again == [test.tolist() for _, test in ClassFold(3, held_out=0.3).split(y, y)] != other


def test_too_many_folds_are_refused() -> None:
    y = np.arange(4).repeat(3)
    with pytest.raises(ValueError, match="from 2 to the number of classes - 2"):
        next(ClassFold(3).split(y, y))
