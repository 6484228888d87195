"""Distributed training of contrastive generative models for generalized zero-shot learning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gzsl_dist.data.arrays import Dataset as Dataset
    from gzsl_dist.experiment.estimator import GZSLClassifier as GZSLClassifier
    from gzsl_dist.inference.model import ZeroShotModel

__version__ = "0.2.0"
__all__ = ["Dataset", "GZSLClassifier", "load"]


def load(path: str | Path) -> ZeroShotModel:
    """Load a finished run, or a file made by ``python -m gzsl_dist.export``.

    Returns:
        A model with ``predict``, ``predict_proba`` and ``classes``.

    Raises:
        InputError: there is none.
    """
    from gzsl_dist.inference.model import load_model

    return load_model(path)


def __getattr__(name: str) -> Any:
    """Import `Dataset` or `GZSLClassifier` when it is asked for, since they need torch."""
    if name == "Dataset":
        from gzsl_dist.data.arrays import Dataset

        return Dataset
    if name == "GZSLClassifier":
        from gzsl_dist.experiment.estimator import GZSLClassifier

        return GZSLClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
