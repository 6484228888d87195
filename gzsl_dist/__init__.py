"""Distributed training of contrastive generative models for generalized zero-shot learning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from gzsl_dist.data.arrays import Dataset as Dataset
    from gzsl_dist.experiment.estimator import GZSLClassifier as GZSLClassifier
    from gzsl_dist.inference.model import ZeroShotModel

__version__ = "0.2.0"
__all__ = ["Dataset", "GZSLClassifier", "add_classes", "load"]


def load(path: str | Path) -> ZeroShotModel:
    """Load a finished run, or a file made by ``python -m gzsl_dist.export``.

    Returns:
        A model with ``predict``, ``predict_proba`` and ``classes``.

    Raises:
        InputError: there is none.
    """
    from gzsl_dist.inference.load import load_model

    return load_model(path)


def add_classes(run: str | Path, classes: Mapping[str, ArrayLike]) -> ZeroShotModel:
    """A run's model that knows new classes besides, by their semantics; nothing is trained anew.

    Args:
        run: directory of a finished run, whose data set is where it was.
        classes: a vector ``(d_a,)`` of semantics for each new name.

    Returns:
        A model as `load` gives; its ``save`` keeps it.

    Raises:
        InputError: no such run; semantics of another length; a class that is known already.

    Example:
        >>> model = gzsl_dist.add_classes("runs/mine", {"okapi": [1.0, 0.0, 1.0]})
    """
    return load(run).add_classes(classes)


def __getattr__(name: str) -> Any:
    """Import `Dataset` or `GZSLClassifier` when it is asked for, since they need torch."""
    if name == "Dataset":
        from gzsl_dist.data.arrays import Dataset

        return Dataset
    if name == "GZSLClassifier":
        from gzsl_dist.experiment.estimator import GZSLClassifier

        return GZSLClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
