"""The scikit-learn estimator: scikit-learn's own checks, and zero-shot learning itself."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from gzsl_dist import GZSLClassifier
from gzsl_dist.config.presets import BASELINES

SMALL = {
    "model.noise_dim": 4,
    "model.generator_hidden": 32,
    "model.critic_hidden": 32,
    "model.embedding_dim": 64,
    "model.projection_dim": 16,
    "model.comparator_hidden": 32,
    "model.prototype_hidden": 32,
    "train.critic_steps": 1,
    "train.learning_rate": 3e-3,
}


@parametrize_with_checks([GZSLClassifier(steps=10, batch_size=32, settings=SMALL)])
def test_scikit_learn_checks(estimator: GZSLClassifier, check) -> None:  # type: ignore[no-untyped-def]
    check(estimator)


def corners(rows: int = 30) -> tuple[np.ndarray, np.ndarray, dict[str, list[float]]]:
    """Classes at the corners of a cube that is turned in ten dimensions; corners are semantics."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(10, 10)))[0][:3]
    points, labels, semantics = [], [], {}
    for number in range(8):
        corner = [float(bit) for bit in f"{number:03b}"]
        name = f"corner {number}"
        semantics[name] = [2 * bit - 1 for bit in corner] + [0.5]
        points.append(3 + 4 * (np.array(corner) @ turn) + 0.3 * rng.normal(size=(rows, 10)))
        labels += [name] * rows
    return np.concatenate(points).astype(np.float32), np.array(labels), semantics


def test_classes_without_rows_are_found() -> None:
    features, labels, semantics = corners()
    unseen = np.isin(labels, ["corner 1", "corner 6"])
    learner = GZSLClassifier(steps=250, batch_size=64, settings=SMALL)
    learner.fit(features[~unseen], labels[~unseen], semantics)
    assert learner.unseen_classes_.tolist() == ["corner 1", "corner 6"]
    assert learner.classes_.tolist() == sorted(semantics)
    found = learner.predict(features)
    assert (found[~unseen] == labels[~unseen]).mean() > 0.9
    assert (found[unseen] == labels[unseen]).mean() > 0.9  # by chance: 1/8


def test_calibration_comes_from_a_training_without_some_seen_classes() -> None:
    features, labels, semantics = corners(10)
    seen = labels != "corner 6"
    learner = GZSLClassifier(steps=5, batch_size=32, settings=SMALL)
    learner.fit(features[seen], labels[seen], semantics)
    assert learner.model_.is_calibrated
    assert learner.model_.card.calibration_factor != 0
    shares = learner.predict_proba(features)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (learner.classes_[shares.argmax(axis=1)] == learner.predict(features)).all()


def test_a_test_class_never_changes_the_training() -> None:
    """What an unseen class is called and described by decides no network's weights."""
    features, labels, semantics = corners(10)
    seen = labels != "corner 6"
    weights = []
    for vector in ([1, 1, -1, 0.5], [5, -5, 0.25, 7]):
        learner = GZSLClassifier(steps=5, batch_size=32, calibration="none", settings=SMALL)
        learner.fit(features[seen], labels[seen], semantics | {"corner 6": vector})
        weights.append(learner.model_.embedding.embed.weight.numpy())
    assert (weights[0] == weights[1]).all()


@pytest.mark.parametrize(
    ("semantics", "message"),
    [
        ({"a": [1.0, 0]}, "class 'b' has rows in y but no semantics"),
        ({"a": [1.0, 0], "b": [1.0]}, "shapes"),
        ({"a": [1.0, 0], "b": [1.0, 0]}, "same semantics"),
        ({"a": [1.0, 0], "b": [np.nan, 0]}, "NaN"),
    ],
)
def test_wrong_semantics_are_refused(semantics: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GZSLClassifier(settings=SMALL).fit(np.eye(4), ["a", "a", "b", "b"], semantics)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="noise"):
        GZSLClassifier(settings={"model.noise": 3}).fit(np.eye(4), [0, 0, 1, 1])
    with pytest.raises(ValueError, match="method"):
        GZSLClassifier(method="magic").fit(np.eye(4), [0, 0, 1, 1])


@pytest.mark.parametrize("method", BASELINES)
def test_a_baseline_is_refused_instead_of_training_a_wgan(method: str) -> None:
    rows, labels, semantics = corners(4)
    learner = GZSLClassifier(method, steps=1, batch_size=8, settings=SMALL)
    with pytest.raises(ValueError, match=f"method '{method}' has no networks"):
        learner.fit(rows, labels, semantics)
