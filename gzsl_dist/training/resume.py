"""Where a training goes on from, and what its checkpoints must have been made for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gzsl_dist.config import Config
from gzsl_dist.data.problem import Problem
from gzsl_dist.distributed import checkpoint
from gzsl_dist.errors import InputError


def made_for(problem: Problem, config: Config, fingerprint: str) -> dict[str, Any]:
    """What a checkpoint must agree with, by the names that users know.

    Args:
        problem: its sizes.
        config: method, networks and how data enter them.
        fingerprint: of the data set.
    """
    return {
        "data set": fingerprint[:12],
        "features (d_x)": problem.feature_dim,
        "semantics (d_a)": problem.semantic_dim,
        "seen classes": problem.seen_count,
        "method": config.method,
        "loss.prototype.source": config.loss.prototype.source,
        "data.semantics_norm": config.data.semantics_norm,
        "data.feature_transform": config.data.feature_transform,
        **{f"model.{name}": value for name, value in config.model.model_dump().items()},
    }


def earlier_checkpoints(resume: str, folder: str) -> Path | None:
    """The checkpoints that `train.resume` names, if it is a path.

    Args:
        resume: auto, never, a run directory, or one checkpoint.
        folder: which of a run's folders of checkpoints is meant, such as ``selection/checkpoints``.

    Returns:
        A folder of checkpoints or one checkpoint; None without a path, or where the path is one
        checkpoint (of the training itself) and another training is meant.

    Raises:
        InputError: there is no checkpoint.
    """
    if resume in ("auto", "never"):
        return None
    path = Path(resume)
    if not checkpoint.checkpoints(path) and not checkpoint.checkpoints(path / "checkpoints"):
        raise InputError(
            f"train.resume {path}: no checkpoint there; name a run directory or one of its "
            "checkpoints/step-..., or use auto"
        )
    if checkpoint.checkpoints(path):
        return path if folder == "checkpoints" else None
    return path / folder if checkpoint.checkpoints(path / folder) else None
