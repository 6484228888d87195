"""The method as a scikit-learn estimator, for arrays in memory and one process."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from typing_extensions import Self

from gzsl_dist.config import Config
from gzsl_dist.config.nested import merge
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.problem import Problem, final_problem, selection_problem
from gzsl_dist.data.validation import check_class_table
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import Processes, start_processes
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.metrics import best_common_factor, seen_unseen_curve
from gzsl_dist.evaluation.score import fit_classifier, score_problem
from gzsl_dist.evaluation.selection import fixed
from gzsl_dist.inference.assemble import assemble
from gzsl_dist.models.networks import Networks
from gzsl_dist.training.anchor import choose_anchor, with_anchor
from gzsl_dist.training.trainer import Trainer

NO_ROWS = np.empty(0, dtype=np.int64)


class GZSLClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Generalized zero-shot classifier: predicts classes that have semantics but no rows.

    Trains the networks of `gzsl_dist.train` in memory. With classes that have no rows, a first
    training without some of the seen classes chooses the calibration factor, as a run does.

    Args:
        method: preset, ``iapc``, ``ce_gzsl``, ``wgan`` or another of ``docs/method.md``.
        steps: generator steps.
        batch_size: rows of a batch.
        calibration: ``validation`` or ``none``.
        settings: any other setting by its dotted name, such as ``{"model.noise_dim": 32}``; see
            ``docs/configuration.md``.
        random_state: seed of every draw, a whole number >= 0.

    Attributes:
        classes_: ``(classes,)`` labels of seen and unseen classes, sorted.
        unseen_classes_: those without rows in ``fit``.
        model_: the `gzsl_dist.inference.model.ZeroShotModel`.
        n_features_in_: d_x.

    Example:
        >>> from gzsl_dist import GZSLClassifier
        >>> learner = GZSLClassifier(steps=100)
        >>> learner.fit(X, y, semantics={"horse": [0, 1], "zebra": [1, 1]}).predict(X_new)
    """

    def __init__(
        self,
        method: str = "iapc",
        *,
        steps: int = 400,
        batch_size: int = 256,
        calibration: str = "validation",
        settings: Mapping[str, Any] | None = None,
        random_state: int = 0,
    ) -> None:
        self.method = method
        self.steps = steps
        self.batch_size = batch_size
        self.calibration = calibration
        self.settings = settings
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        semantics: Mapping[Hashable, ArrayLike] | None = None,
    ) -> Self:
        """Train on rows of the seen classes.

        Args:
            X: features ``(rows, d_x)``, not scaled.
            y: labels ``(rows,)``.
            semantics: a vector ``(d_a,)`` for every label of `y` and for every unseen class. None:
                there are no unseen classes, and each seen class has a unit vector of its own.

        Raises:
            ValueError: wrong arrays; a label without semantics; settings out of range.
        """
        features, labels = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(labels)
        seen = np.unique(labels)
        if len(seen) < 2:
            raise ValueError(f"GZSLClassifier needs at least 2 classes; got {len(seen)} class")
        table = _semantics_table(seen, semantics)
        self.classes_ = np.array(sorted(table), dtype=None if semantics else seen.dtype)
        number = {label: index for index, label in enumerate(self.classes_.tolist())}
        self.unseen_classes_ = np.setdiff1d(self.classes_, seen)
        dataset = Dataset(
            name="fit",
            features=features,
            labels=np.array([number[label] for label in labels.tolist()], dtype=np.int64),
            semantics=np.array([table[label] for label in self.classes_.tolist()], np.float32),
            classes=tuple(f"{index} {label}" for label, index in number.items()),
            splits={
                "trainval": np.arange(len(labels)),
                "test_seen": NO_ROWS,
                "test_unseen": NO_ROWS,
            },
        )
        try:
            check_class_table(dataset, "semantics")
            config = self._config(calibrated=len(self.unseen_classes_) > 0)
            with start_processes(config.train.device) as processes:
                self._fit(dataset, config, processes)
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    def _fit(self, dataset: Dataset, config: Config, processes: Processes) -> None:
        selection = fixed(config.train.steps, config.evaluation, dataset.fingerprint)
        if config.evaluation.calibration == "validation":
            folds = range(config.evaluation.folds)
            problems = [selection_problem(dataset, config, fold) for fold in folds]
            config = with_anchor(config, choose_anchor(problems, config, processes))
            curves = []
            for problem in problems:
                networks = _train(problem, config, processes)
                classifier = fit_classifier(networks, problem, config, processes)
                scored = score_problem(networks, classifier, problem, config, processes)
                curves.append(seen_unseen_curve(scored.seen, scored.unseen))
            selection = replace(selection, calibration_factor=best_common_factor(curves))
        problem = final_problem(dataset, config)
        networks = _train(problem, config, processes)
        classifier = fit_classifier(networks, problem, config, processes)
        model = assemble(networks, classifier, problem, dataset, config, selection)
        self.model_ = model.double()  # so that a row's figures do not depend on the rows beside it
        # the model has seen classes first, scikit-learn wants columns in the order of classes_
        self._columns = np.argsort(problem.classes)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Probabilities ``(rows, classes)`` of ``(rows, d_x)``, in the order of `classes_`."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=np.float32, reset=False)
        return self.model_.predict_proba(features)[:, self._columns]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels ``(rows,)`` of ``(rows, d_x)``."""
        chosen = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[chosen]
        return labels

    def _config(self, *, calibrated: bool) -> Config:
        tree: dict[str, Any] = {}
        for name, value in (self.settings or {}).items():
            part: Any = value
            for key in reversed(name.split(".")):
                part = {key: part}
            tree = merge(tree, part)
        mine = {
            "method": self.method,
            "train": {
                "steps": self.steps,
                "batch_size": self.batch_size,
                "seed": self.random_state,
                "strategy": "single",
            },
            "evaluation": {
                "calibration": self.calibration if calibrated else "none",
                "in_memory": "true",  # there is no run directory
            },
        }
        config = Config.model_validate(merge(tree, mine))
        if config.method in BASELINES:  # its preset would train a plain WGAN under that name
            raise InputError(
                f"method {config.method!r} has no networks, which GZSLClassifier trains; run "
                f"gzsl_dist.train --method {config.method} for its figures"
            )
        return config


def _train(problem: Problem, config: Config, processes: Processes) -> Networks:
    trainer = Trainer(problem, config, processes, choose_strategy(config.train, processes))
    for step in range(config.train.steps):
        trainer.train_step(step)
    return trainer.evaluated_networks()


def _semantics_table(
    seen: NDArray[Any], semantics: Mapping[Hashable, ArrayLike] | None
) -> dict[Any, NDArray[np.float32]]:
    """A vector for each label, all of one length.

    Raises:
        ValueError: a seen class without semantics, or vectors of several lengths.
    """
    if semantics is None:
        return dict(zip(seen.tolist(), np.eye(len(seen), dtype=np.float32), strict=True))
    table = {
        getattr(label, "item", lambda label=label: label)(): np.asarray(vector, np.float32)
        for label, vector in semantics.items()
    }
    if lacking := [label for label in seen.tolist() if label not in table]:
        raise ValueError(f"class {lacking[0]!r} has rows in y but no semantics; give it a vector")
    shapes = {vector.shape for vector in table.values()}
    if len(shapes) > 1 or len(min(shapes)) != 1:
        raise ValueError(f"semantics have shapes {sorted(shapes)}; give every class d_a values")
    return table
