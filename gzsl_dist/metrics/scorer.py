"""H of an estimator, as scikit-learn's ``scoring`` takes it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gzsl_dist.evaluation.metrics import harmonic_means, per_class_accuracy


class ZeroShotEstimator(Protocol):
    """A fitted estimator that knows which of its classes had no samples, as `GZSLClassifier`."""

    unseen_classes_: NDArray[Any]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels ``(samples,)`` of ``(samples, d_x)``."""


def harmonic_mean_scorer(estimator: ZeroShotEstimator, X: ArrayLike, y: ArrayLike) -> float:
    """H in [0, 1]: the harmonic mean of per-class top-1 accuracies on unseen and seen classes.

    Args:
        estimator: fitted, with ``unseen_classes_``; the last step of a Pipeline may have them.
        X: samples ``(samples, d_x)`` of seen and of unseen classes, which all compete.
        y: their labels ``(samples,)``.

    Returns:
        2 U S / (U + S) (Xian et al., TPAMI 2018, Section 4.3); 0 where both are 0.

    Raises:
        ValueError: `y` lacks seen or unseen classes, so that U or S is undefined.

    Example:
        >>> from gzsl_dist import GZSLClassifier
        >>> from gzsl_dist.metrics import ClassFold, harmonic_mean_scorer
        >>> from sklearn.model_selection import cross_val_score
        >>> learner = GZSLClassifier(semantics=semantics)
        >>> cross_val_score(learner, X, y, cv=ClassFold(3), scoring=harmonic_mean_scorer)
    """
    labels = np.asarray(y)
    last = estimator[-1] if hasattr(estimator, "__getitem__") else estimator
    unseen = np.isin(labels, last.unseen_classes_)
    if unseen.all() or not unseen.any():
        lacking = "seen" if unseen.all() else "unseen"
        raise ValueError(f"H needs samples of seen and of unseen classes; y has no {lacking} class")
    _, numbers = np.unique(labels, return_inverse=True)
    correct = estimator.predict(X) == labels
    predicted = np.where(correct, numbers, -1)
    u, s = (
        np.mean(list(per_class_accuracy(numbers[part], predicted[part]).values()))
        for part in (unseen, ~unseen)
    )
    return float(harmonic_means(u, s))
