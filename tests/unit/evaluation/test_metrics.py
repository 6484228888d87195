"""Metrics against scikit-learn and against calibrated stacking done literally."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, recall_score

from gzsl_dist.evaluation.metrics import (
    ScoredRows,
    harmonic_means,
    measure,
    per_class_accuracy,
    seen_unseen_curve,
)

SEEN, UNSEEN = 4, 3


def example(seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores and labels of seen rows and of unseen rows; classes of very different sizes."""
    draw = np.random.default_rng(seed)
    seen_labels = np.concatenate([np.arange(SEEN), draw.integers(SEEN - 1, size=rows)])
    unseen_labels = SEEN + np.concatenate(
        [np.arange(UNSEEN), draw.integers(UNSEEN - 1, size=rows // 2)]
    )

    def scores(labels: np.ndarray) -> np.ndarray:
        noise = draw.normal(size=(len(labels), SEEN + UNSEEN))
        return noise + 1.2 * np.eye(SEEN + UNSEEN)[labels] + 0.8 * (np.arange(SEEN + UNSEEN) < SEEN)

    return scores(seen_labels), seen_labels, scores(unseen_labels), unseen_labels


def scored(seed: int) -> tuple[ScoredRows, ScoredRows]:
    seen_scores, seen_labels, unseen_scores, unseen_labels = example(seed)
    return (
        ScoredRows.from_scores(seen_scores, seen_labels, SEEN),
        ScoredRows.from_scores(unseen_scores, unseen_labels, SEEN),
    )


def literal_accuracy(scores: np.ndarray, labels: np.ndarray, factor: float) -> float:
    """Mean per-class recall after lowering the scores of seen classes, by scikit-learn."""
    lowered = scores.copy()
    lowered[:, :SEEN] -= factor
    predictions = lowered.argmax(axis=1)
    return recall_score(labels, predictions, labels=np.unique(labels), average="macro")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("factor", [-0.7, 0.0, 0.4, 3.0])
def test_accuracies_equal_scikit_learn(seed: int, factor: float) -> None:
    seen_scores, seen_labels, unseen_scores, unseen_labels = example(seed)
    metrics = measure(*scored(seed), factor)
    s = literal_accuracy(seen_scores, seen_labels, factor)
    u = literal_accuracy(unseen_scores, unseen_labels, factor)
    assert pytest.approx(s, abs=1e-12) == metrics.S
    assert pytest.approx(u, abs=1e-12) == metrics.U
    assert pytest.approx(2 * u * s / (u + s) if u + s else 0, abs=1e-12) == metrics.H
    alone = unseen_scores.copy()
    alone[:, :SEEN] = -np.inf
    assert (
        pytest.approx(
            recall_score(
                unseen_labels,
                alone.argmax(axis=1),
                labels=np.unique(unseen_labels),
                average="macro",
            ),
            abs=1e-12,
        )
        == metrics.T1
    )
    predictions = (seen_scores - factor * (np.arange(SEEN + UNSEEN) < SEEN)).argmax(axis=1)
    recalls = recall_score(seen_labels, predictions, labels=range(SEEN), average=None)
    assert [metrics.per_class[c] for c in range(SEEN)] == pytest.approx(recalls.tolist())


@pytest.mark.parametrize("seed", range(5))
def test_curve_and_area_equal_a_sweep_over_all_factors(seed: int) -> None:
    seen_scores, seen_labels, unseen_scores, unseen_labels = example(seed)
    curve = seen_unseen_curve(*scored(seed))
    edges = np.concatenate([curve.factors[:1] - 1, curve.factors, curve.factors[-1:] + 1])
    middles = (edges[1:] + edges[:-1]) / 2
    s = [literal_accuracy(seen_scores, seen_labels, factor) for factor in middles]
    u = [literal_accuracy(unseen_scores, unseen_labels, factor) for factor in middles]
    np.testing.assert_allclose(curve.seen, s, atol=1e-12)
    np.testing.assert_allclose(curve.unseen, u, atol=1e-12)
    assert curve.area == pytest.approx(auc(u, s), abs=1e-12)
    best = curve.best_factor()
    best_h = measure(*scored(seed), best).H
    assert best_h == pytest.approx(max(harmonic_means(u, s)), abs=1e-12)


@given(st.integers(0, 10_000), st.floats(-5, 5))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_a_constant_per_row_changes_nothing(seed: int, shift: float) -> None:
    seen_scores, seen_labels, unseen_scores, unseen_labels = example(seed, rows=15)
    before = measure(
        ScoredRows.from_scores(seen_scores, seen_labels, SEEN),
        ScoredRows.from_scores(unseen_scores, unseen_labels, SEEN),
        0.3,
    )
    after = measure(
        ScoredRows.from_scores(seen_scores + shift, seen_labels, SEEN),
        ScoredRows.from_scores(unseen_scores - shift, unseen_labels, SEEN),
        0.3,
    )
    assert pytest.approx(before.H) == after.H
    assert pytest.approx(before.AUSUC) == after.AUSUC


def test_no_row_right_gives_zeros() -> None:
    scores = np.array([[0.0, 1.0, -1.0, -2.0]])
    seen = ScoredRows.from_scores(scores, [0], 2)
    unseen = ScoredRows.from_scores(scores, [3], 2)
    metrics = measure(seen, unseen)
    assert (metrics.U, metrics.S, metrics.H, metrics.T1, metrics.AUSUC) == (0, 0, 0, 0, 0)


def test_a_tie_goes_to_the_seen_class_as_argmax_does() -> None:
    row = ScoredRows.from_scores([[1.0, 0.0, 1.0, 0.0]], [2], 2)
    assert row.predictions(0.0).tolist() == [0]
    assert row.predictions(1e-9).tolist() == [2]


def test_classes_of_different_sizes_count_alike() -> None:
    labels = np.array([0, 0, 0, 1])
    predictions = np.array([0, 0, 1, 0])
    assert per_class_accuracy(labels, predictions) == {0: pytest.approx(2 / 3), 1: 0.0}


def test_best_factor_is_the_middle_of_its_interval() -> None:
    """Seen rows need a factor of at most 2, unseen ones one above 1."""
    seen = ScoredRows(np.array([0, 1]), np.array([0, 1]), np.array([2, 3]), np.array([2.0, 4.0]))
    unseen = ScoredRows(np.array([2, 3]), np.array([0, 1]), np.array([2, 3]), np.array([-1.0, 1.0]))
    assert seen_unseen_curve(seen, unseen).best_factor() == 1.5
