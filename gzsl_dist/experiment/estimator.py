"""The method as a scikit-learn estimator, for arrays in memory and one process."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import safe_open
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from typing_extensions import Self

from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.validation import check_class_table
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import start_processes
from gzsl_dist.errors import DivergedError, InputError
from gzsl_dist.experiment.estimator_settings import (
    PARAMETERS,
    config_of,
    in_own_words,
    split_parameters,
)
from gzsl_dist.experiment.experiment import Experiment
from gzsl_dist.inference.load import load_model
from gzsl_dist.inference.model import ZeroShotModel
from gzsl_dist.planning.shapes import shape_of
from gzsl_dist.training.stop_signal import StopSignal

HEADER = "gzsl_dist.GZSLClassifier"
"""Under which a saved model's file keeps what the estimator has beside it."""

NO_ROWS = np.empty(0, dtype=np.int64)


class GZSLClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Generalized zero-shot classifier: predicts classes that have semantics but no rows.

    Does in memory what `gzsl_dist.train` does: with classes that have no rows, a first training
    without some of the seen classes chooses the calibration factor.

    Args:
        method: ``iapc``, ``ce_gzsl``, ``ridge`` or another of ``docs/method.md``.
        size: ``auto``, ``small``, ``base`` or ``published``: widths, steps and such that nothing
            else sets; None: the defaults of ``docs/configuration.md``.
        steps: generator steps; None: by `size`.
        batch_size: rows of a batch; None: by `size`.
        calibration: ``validation`` or ``none``.
        settings: any other setting by its dotted name, such as ``{"model.noise_dim": 32}``; see
            ``docs/configuration.md``. `set_params` takes each as ``model__noise_dim``.
        random_state: seed of every draw, a whole number >= 0.
        semantics: where `fit` is given none, as scikit-learn's pipelines and searches call it.
        verbose: 1 prints progress, 0 nothing.

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
        size: str | None = "auto",
        steps: int | None = None,
        batch_size: int | None = None,
        calibration: str = "validation",
        settings: Mapping[str, Any] | None = None,
        random_state: int = 0,
        semantics: Mapping[Any, ArrayLike] | None = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.size = size
        self.steps = steps
        self.batch_size = batch_size
        self.calibration = calibration
        self.settings = settings
        self.random_state = random_state
        self.semantics = semantics
        self.verbose = verbose

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
            semantics: a vector ``(d_a,)`` for every label of `y` and for every unseen class;
                default: the constructor's. None there too: there are no unseen classes, and each
                seen class has a unit vector of its own.

        Raises:
            ValueError: wrong arrays; a label without semantics; settings out of range; a training
                that diverged.
        """
        semantics = self.semantics if semantics is None else semantics
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
            classes=tuple(map(str, number)),
            splits={
                "trainval": np.arange(len(labels)),
                "test_seen": NO_ROWS,
                "test_unseen": NO_ROWS,
            },
        )
        try:
            check_class_table(dataset, "semantics")
            config = self._config(dataset)
            with start_processes(config.train.device, quiet=not self.verbose) as processes:
                strategy = choose_strategy(config.train, processes)
                one = Experiment(dataset, config, processes, strategy, StopSignal())
                self._take(one.fit(one.select()).model)
        except InputError as error:
            raise ValueError(in_own_words(str(error))) from None
        except DivergedError as error:  # what it says of checkpoints is of a run
            what = str(error).split(";")[0]
            raise ValueError(f"{what}; try settings with a lower train.learning_rate") from None
        return self

    def _take(self, model: ZeroShotModel) -> None:
        self.model_ = model.double()  # so that a row's figures do not depend on the rows beside it
        # the model has seen classes first, scikit-learn wants columns in the order of classes_
        self._columns = [model.classes.index(str(label)) for label in self.classes_.tolist()]

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

    def save(self, path: str | Path) -> None:
        """Write what was fitted as one file, which `gzsl_dist.load` and ``predict`` read as well.

        Raises:
            InputError: it cannot be written.
        """
        check_is_fitted(self)
        parameters = self.get_params(deep=False)
        if self.semantics is not None:  # JSON has no other keys than texts
            pairs = self.semantics.items()
            parameters["semantics"] = [[key, np.asarray(vector).tolist()] for key, vector in pairs]
        record = {
            "parameters": parameters,
            "classes": self.classes_.tolist(),
            "dtype": self.classes_.dtype.str,
            "names": getattr(self, "feature_names_in_", np.empty(0)).tolist(),
        }
        self.model_.save(path, **{HEADER: json.dumps(record, default=_plain)})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            InputError: no such file, or it is not an estimator's.
        """
        model = load_model(path)
        if Path(path).is_dir():
            raise InputError(f"{path}: a run; gzsl_dist.load reads it")
        with safe_open(path, "np") as file:
            header = file.metadata().get(HEADER)
        if header is None:
            raise InputError(f"{path}: not saved by GZSLClassifier; gzsl_dist.load reads it")
        record = json.loads(header)
        if record["parameters"]["semantics"] is not None:
            record["parameters"]["semantics"] = dict(record["parameters"]["semantics"])
        learner = cls(**record["parameters"])
        learner.classes_ = np.array(record["classes"], dtype=record["dtype"])
        unseen = np.isin(learner.classes_.astype(str), model.unseen_classes)
        learner.unseen_classes_ = learner.classes_[unseen]
        learner.n_features_in_ = model.card.feature_dim
        if record["names"]:
            learner.feature_names_in_ = np.array(record["names"], dtype=object)
        learner._take(model)
        return learner

    def set_params(self, **params: Any) -> Self:
        """Set parameters, and any setting by its dotted name with ``__`` for each dot.

        So pipelines and searches reach settings: ``{"loss__prototype__margin": [0.1, 0.2]}``.

        Raises:
            ValueError: no such parameter or setting.
        """
        own, settings = split_parameters(params)
        super().set_params(**own)
        if settings:  # a copy: scikit-learn's clones share the mapping
            self.settings = {**(self.settings or {}), **settings}
        return self

    def _config(self, dataset: Dataset) -> Config:
        given = {parameter: getattr(self, parameter) for parameter in PARAMETERS.values()}
        if not len(self.unseen_classes_):
            given["calibration"] = "none"
        return config_of(given, self.settings or {}, shape_of(dataset))


def _plain(value: Any) -> Any:
    """What JSON has for a NumPy number or array."""
    return value.tolist()


def _semantics_table(
    seen: NDArray[Any], semantics: Mapping[Hashable, ArrayLike] | None
) -> dict[Any, NDArray[np.float32]]:
    """A vector for each label, all of one length.

    Raises:
        ValueError: a seen class without semantics, or vectors of several lengths.
    """
    if semantics is None:
        return dict(zip(seen.tolist(), np.eye(len(seen), dtype=np.float32), strict=True))
    if not isinstance(semantics, Mapping):
        raise ValueError(
            f"semantics are {type(semantics).__name__}; give a vector by class: "
            "dict(zip(names, semantics))"
        )
    try:
        table = {
            getattr(label, "item", lambda label=label: label)(): np.asarray(vector, np.float32)
            for label, vector in semantics.items()
        }
    except (TypeError, ValueError):
        raise ValueError("semantics must be numbers, a vector for each class") from None
    if lacking := [label for label in seen.tolist() if label not in table]:
        raise ValueError(f"class {lacking[0]!r} has rows in y but no semantics; give it a vector")
    shapes = {vector.shape for vector in table.values()}
    if len(shapes) > 1 or len(min(shapes)) != 1:
        raise ValueError(f"semantics have shapes {sorted(shapes)}; give every class d_a values")
    return table
