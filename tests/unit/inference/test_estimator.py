"""The scikit-learn estimator: scikit-learn's own checks, and zero-shot learning itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import gzsl_dist
from gzsl_dist import GZSLClassifier
from gzsl_dist.baselines.candidate import Candidate
from gzsl_dist.config.sizes import DataShape
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.experiment.estimator_settings import config_of, in_own_words
from gzsl_dist.experiment.experiment import Experiment
from gzsl_dist.run.files import RunFiles
from gzsl_dist.training.stop_signal import StopSignal

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
        ({"a": "a word", "b": "another"}, "semantics must be numbers"),
        (np.eye(2), r"semantics are ndarray; give a vector by class: dict\(zip"),
    ],
)
def test_wrong_semantics_are_refused(semantics: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GZSLClassifier(settings=SMALL).fit(np.eye(4), ["a", "a", "b", "b"], semantics)


def test_wrong_settings_are_refused() -> None:
    """In a line, by the names of the estimator."""
    for wrong, message in (
        ({"settings": {"model.noise": 3}}, "settings: no setting model.noise; did you mean"),
        ({"settings": {"train.steps": 3}}, "settings: train.steps is the parameter steps;"),
        ({"settings": {"model.noise_dim": 0}}, "model.noise_dim = 0: Input should be"),
        ({"method": "magic"}, "method = 'magic': Input should be"),
        ({"method": "clip"}, "method clip: fit has features of 4 values and semantics of 2, which"),
        ({"steps": 0}, "steps = 0: Input should be"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}[^\n]*$"):
            GZSLClassifier(**wrong).fit(np.eye(4), [0, 0, 1, 1])
    told = in_own_words("train.batch_size 9: use --train.steps 3 or --evaluation.folds 1")
    assert told == "batch_size 9: use steps 3 or settings: evaluation.folds 1"


def test_settings_are_reached_as_scikit_learn_names_them() -> None:
    learner = GZSLClassifier(settings={"model.noise_dim": 4})
    copy = clone(learner).set_params(train__steps=7, loss__prototype__margin=0.3, method="iapc")
    assert (copy.steps, copy.method) == (7, "iapc")
    assert copy.settings == {"model.noise_dim": 4, "loss.prototype.margin": 0.3}
    assert learner.settings == {"model.noise_dim": 4}, "the original is as it was"
    config = config_of(copy.get_params(), copy.settings, DataShape(2, 4, 2, 4))
    assert (config.train.steps, config.loss.prototype.margin) == (7, 0.3)
    with pytest.raises(ValueError, match="no setting train__stepz; did you mean train__steps"):
        learner.set_params(train__stepz=3)
    features, labels, semantics = corners(8)
    learner = GZSLClassifier(
        steps=2, batch_size=8, settings=SMALL, semantics=semantics, calibration="none"
    )
    grid = {"train__critic_steps": [1, 2], "train__steps": [1, 2]}
    search = GridSearchCV(learner, grid, cv=2).fit(features, labels)
    assert search.best_estimator_.settings["train.critic_steps"] in (1, 2)


def in_memory(learner: GZSLClassifier, features: Any, labels: Any, semantics: Any) -> Experiment:
    """An experiment on the rows that a fitted learner was given."""
    numbers = {name: number for number, name in enumerate(learner.classes_.tolist())}
    none = np.empty(0, np.int64)
    dataset = Dataset(
        name="fit",
        features=features,
        labels=np.array([numbers[name] for name in labels.tolist()]),
        semantics=np.array(list(semantics.values()), np.float32),
        classes=tuple(numbers),
        splits={"trainval": np.arange(len(labels)), "test_seen": none, "test_unseen": none},
    )
    alone = DistributedContext(0, 1, torch.device("cpu"), quiet=True)
    config = learner._config(dataset)
    return Experiment(dataset, config, alone, choose_strategy(config.train, alone), StopSignal())


def test_sizes_fit_the_rows_where_nothing_is_given() -> None:
    features, labels, semantics = corners(10)
    learner = GZSLClassifier()
    learner.classes_, learner.unseen_classes_ = np.unique(labels), np.array(["corner 6"])
    data = in_memory(learner, features, labels, semantics).dataset
    found = learner._config(data)
    assert (found.size, found.model.generator_hidden) == ("small", 128)
    assert (found.train.steps, found.evaluation.every) == (200, 200)
    given = GZSLClassifier(steps=7, settings={"model.generator_hidden": 9})
    given.unseen_classes_ = learner.unseen_classes_
    found = given._config(data)
    assert (found.model.generator_hidden, found.train.steps, found.evaluation.every) == (9, 7, 7)


@pytest.mark.parametrize("method", ["ridge", "nearest_prototype"])
def test_a_baseline_is_its_closed_form(method: str) -> None:
    features, labels, semantics = corners(10)
    seen = ~np.isin(labels, ["corner 1", "corner 6"])
    learner = GZSLClassifier(method).fit(features[seen], labels[seen], semantics)
    run = in_memory(learner, features[seen], labels[seen], semantics)
    fitted = run.fit(run.select())
    assert isinstance(fitted.classifier, Candidate)
    scaled = torch.from_numpy(fitted.problem.scaling(features))
    scores = fitted.classifier.score(scaled).numpy()
    scores[:, : fitted.problem.seen_count] -= fitted.selection.calibration_factor
    expected = np.array(fitted.problem.names)[scores.argmax(axis=1)]
    found = learner.predict(features)
    assert found.tolist() == expected.tolist()
    assert (found == labels).mean() > 0.3, "1/8 by chance"


def test_a_training_that_diverges_is_an_error_and_no_model() -> None:
    features, labels, semantics = corners(4)
    wild = {**SMALL, "train.learning_rate": 1e30}
    learner = GZSLClassifier(steps=20, batch_size=16, settings=wild, calibration="none")
    with pytest.raises(ValueError, match=r"training diverged: .*settings with a lower") as caught:
        learner.fit(features, labels, semantics)
    assert "checkpoint" not in str(caught.value)


def test_it_trains_and_chooses_as_a_run_does(tmp_path: Path) -> None:
    """The same rows in a run directory give the same steps, factor and weights."""
    features, labels, semantics = corners(10)
    seen = labels != "corner 6"
    settings = {**SMALL, "evaluation.selection": "validation", "evaluation.every": 2}
    learner = GZSLClassifier(steps=6, batch_size=32, settings=settings)
    learner.fit(features[seen], labels[seen], semantics)
    run = in_memory(learner, features[seen], labels[seen], semantics)
    run.files = RunFiles(tmp_path)
    model = run.fit(run.select()).model
    assert model.card == learner.model_.card
    assert model.card.steps in (2, 4, 6)
    for name, value in model.state_dict().items():
        assert torch.equal(value.double(), learner.model_.state_dict()[name]), name


def test_semantics_of_the_constructor_reach_searches_and_pipelines() -> None:
    features, labels, semantics = corners(8)
    seen = labels != "corner 6"
    rows, names = features[seen], labels[seen]
    learner = GZSLClassifier("nearest_prototype", semantics=semantics)
    scores = cross_val_score(learner, rows, names, cv=2)
    assert scores.min() > 0.8
    search = GridSearchCV(learner, {"method": ["ridge", "nearest_prototype"]}, cv=2)
    search.fit(rows, names)
    assert "corner 6" in search.best_estimator_.classes_
    piped = make_pipeline(StandardScaler(), learner).fit(rows, names)
    assert piped.score(features, labels) > 0.8
    given = make_pipeline(StandardScaler(), GZSLClassifier("ridge"))
    given.fit(rows, names, gzslclassifier__semantics=semantics)
    assert "corner 6" in given.classes_


def test_names_are_as_given_and_progress_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    features, labels, semantics = corners(4)
    seen = labels != "corner 6"
    for verbose in (0, 1):
        learner = GZSLClassifier(steps=2, batch_size=8, settings=SMALL, verbose=verbose)
        learner.fit(features[seen], labels[seen], semantics)
        told = capsys.readouterr().out
        assert bool(told) == bool(verbose)
    assert "training: step 2/2" in told
    assert "selection: 2 steps, calibration factor" in told
    assert set(learner.model_.classes) == set(semantics)


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("numbers", [False, True])
def test_saved_and_loaded_it_is_the_same(kind: type, numbers: bool, tmp_path: Path) -> None:
    features, labels, semantics = corners(6)
    if numbers:
        labels = np.array([int(name[-1]) for name in labels])
        semantics = {int(name[-1]): vector for name, vector in semantics.items()}  # type: ignore[misc]
    seen = ~np.isin(labels, [6, "corner 6"])
    learner = GZSLClassifier(steps=3, batch_size=16, settings=SMALL, semantics=semantics)
    learner.fit(features[seen], labels[seen])
    path = kind(tmp_path / "learner.safetensors")
    learner.save(path)
    again = GZSLClassifier.load(path)
    assert again.get_params() == learner.get_params()
    assert again.classes_.dtype == learner.classes_.dtype
    assert again.classes_.tolist() == learner.classes_.tolist()
    assert again.unseen_classes_.tolist() == learner.unseen_classes_.tolist()
    np.testing.assert_array_equal(again.predict_proba(features), learner.predict_proba(features))
    np.testing.assert_array_equal(
        gzsl_dist.load(path).predict(features), learner.predict(features).astype(str)
    )
    learner.model_.save(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="not saved by GZSLClassifier"):
        GZSLClassifier.load(tmp_path / "model.safetensors")
