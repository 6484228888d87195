"""The embedded digits: fixed, valid, and possible to infer."""

from __future__ import annotations

import numpy as np

from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.digits import ATTRIBUTES, TABLE, TEST_EVERY, digits_dataset
from gzsl_dist.data.validation import validate

DIGITS = digits_dataset()
FINGERPRINT = "87229f5a189e33ed0dfe1de5b19bf7ef6ef8f872df1b7e92584830766fba9126"


def ridge_t1(dataset: Dataset, train: np.ndarray, test: np.ndarray) -> float:
    """Mean per-class accuracy among the test classes of a ridge from features to semantics."""
    x = dataset.features[:] - dataset.features[train].mean(axis=0)
    semantics = dataset.semantics / np.linalg.norm(dataset.semantics, axis=1, keepdims=True)
    semantics = semantics - semantics[np.unique(dataset.labels[train])].mean(axis=0)
    penalty = 0.1 * np.square(x[train]).sum() / x.shape[1]
    left = np.linalg.inv(x[train].T @ x[train] + penalty * np.eye(x.shape[1]))
    weights = left @ x[train].T @ semantics[dataset.labels[train]]
    unseen = np.unique(dataset.labels[test])
    predictions = unseen[(x[test] @ weights @ semantics[unseen].T).argmax(axis=1)]
    labels = dataset.labels[test]
    return float(np.mean([(predictions[labels == c] == c).mean() for c in unseen]))


def test_shapes_and_splits() -> None:
    validate(DIGITS)
    assert DIGITS.features.shape == (1797, 64)
    assert TABLE.shape == (10, len(ATTRIBUTES))
    assert DIGITS.unseen_classes.tolist() == [4, 5, 6]
    assert np.unique(DIGITS.labels[DIGITS.splits["val"]]).tolist() == [0, 7]
    parts = [DIGITS.splits[name] for name in ("trainval", "test_seen", "test_unseen")]
    assert sorted(np.concatenate(parts)) == list(range(1797))
    assert np.isin(DIGITS.splits["val"], DIGITS.splits["trainval"]).all()
    for digit in DIGITS.seen_classes:
        rows = DIGITS.labels[DIGITS.splits["test_seen"]] == digit
        assert rows.sum() == (DIGITS.labels == digit).sum() // TEST_EVERY


def test_segments_are_those_of_a_display() -> None:
    lit = TABLE[:, :7].sum(axis=1)
    assert lit.tolist() == [6, 2, 5, 5, 4, 5, 6, 3, 7, 6]


def test_fingerprint_is_fixed() -> None:
    assert DIGITS.fingerprint == FINGERPRINT


def test_unseen_and_validation_digits_can_be_inferred_from_attributes() -> None:
    splits = DIGITS.splits
    assert ridge_t1(DIGITS, splits["trainval"], splits["test_unseen"]) > 0.6  # chance: 0.33
    assert ridge_t1(DIGITS, splits["train"], splits["val"]) > 0.65  # chance: 0.5
