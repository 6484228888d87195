"""Where a training resumes, and what its checkpoints must have been made for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.log import log_rank0
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import trained_parameters
from gzsl_dist.errors import InputError
from gzsl_dist.monitoring.callback import LoopCallback
from gzsl_dist.run.files import RunFiles

SHARE = "put it on storage that all machines of the job share"

Found = tuple[checkpoint.Checkpoint, checkpoint.SavedState]


def compatibility(sizes: tuple[int, int, int], config: Config, fingerprint: str) -> dict[str, Any]:
    """What a checkpoint must agree with, by the names that users know.

    Args:
        sizes: d_x, d_a and the number of seen classes, as `Problem.sizes`.
        config: method, networks and how data enter them.
        fingerprint: of the data set.
    """
    feature_dim, semantic_dim, seen_count = sizes
    # the anchor's values are saved with the weights
    model = config.model.model_dump(exclude={"anchor_width", "anchor_penalty"})
    return {
        "data set": fingerprint[:12],
        "features (d_x)": feature_dim,
        "semantics (d_a)": semantic_dim,
        "seen classes": seen_count,
        "method": config.method,
        "loss.prototype.source": config.loss.prototype.source,
        "data.semantics_norm": config.data.semantics_norm,
        "data.feature_transform": config.data.feature_transform,
        **{f"model.{name}": value for name, value in model.items()},
    }


def earlier_checkpoints(resume: str, *, selection: bool = False) -> Path | None:
    """The checkpoints that `train.resume` names, if it is a path.

    Args:
        resume: auto, never, a run directory, or one checkpoint.
        selection: the training of selection is meant, not the last one.

    Returns:
        A folder of checkpoints or one checkpoint; None without a path, or where the path is one
        checkpoint (of the training itself) and another training is meant.

    Raises:
        InputError: there is no checkpoint.
    """
    if resume in ("auto", "never"):
        return None
    path, files = Path(resume), RunFiles(Path(resume))
    is_checkpoint = bool(checkpoint.checkpoints(path))
    if not is_checkpoint and not checkpoint.checkpoints(files.checkpoints):
        raise InputError(
            f"train.resume {path}: no checkpoint there; name a run directory or one of its "
            "checkpoints/step-..., or use auto"
        )
    if is_checkpoint:
        return None if selection else path
    folder = files.folds(1)[0].checkpoints if selection else files.checkpoints
    return folder if checkpoint.checkpoints(folder) else None


def agreed_list(folder: Path, processes: DistributedContext) -> list[checkpoint.Checkpoint]:
    """The first process's list of a folder's checkpoints, compared with what others see in them.

    Raises:
        InputError: another process finds another state, or none, in one of them.
    """
    found = processes.run_on_rank0(lambda: checkpoint.checkpoints(folder))
    processes.agree({f"checkpoint {one.path}": fingerprint(one) for one in found}, SHARE)
    return found


def fingerprint(saved: checkpoint.Checkpoint) -> str:
    """Step and checksum of what names the checksums of all other files, as this process sees it."""
    try:
        state = (saved.path / checkpoint.STATE).read_bytes()
    except OSError as error:
        return f"nothing ({error.strerror})"
    return f"step {saved.step} with checksum {hashlib.sha256(state).hexdigest()[:12]}"


def agreed_start(
    folder: Path | None,
    other: Path | None,
    made: dict[str, Any],
    steps: int,
    processes: DistributedContext,
) -> Found | None:
    """What `find_start` finds in folders of checkpoints; every process must call.

    Raises:
        InputError: as there, or processes see or choose different checkpoints.
    """
    own = agreed_list(folder, processes) if folder is not None else []
    earlier = agreed_list(other, processes) if other is not None else []
    found = processes.run_on_all_ranks(
        lambda: find_start(own, earlier, made, steps, lambda text: log_rank0(processes, text))
    )
    # One that is damaged for a single process was skipped by that one alone.
    chosen = "none" if found is None else str(found[0].path)
    processes.agree({"checkpoint to resume from": chosen}, SHARE)
    return found


def find_start(
    own: Sequence[checkpoint.Checkpoint],
    other: Sequence[checkpoint.Checkpoint],
    made: dict[str, Any],
    steps: int,
    warn: Callable[[str], None],
) -> Found | None:
    """The newest whole checkpoint of a training, or else of another one to start from.

    Args:
        own: the training's own checkpoints, oldest first.
        other: those of another training, or one of them, which must not be past this one's end.
        made: see `compatibility`.
        steps: generator steps in all.
        warn: is told of each damaged checkpoint.

    Raises:
        InputError: a checkpoint does not fit, or all are damaged.
    """
    found = checkpoint.latest_valid(own, made, warn)
    if found is not None:
        return found
    found = checkpoint.latest_valid(other, made, warn)
    if found is not None and found[0].step > steps:
        raise InputError(
            f"train.resume: {found[0].path} is past the {steps} steps of this training; give an "
            "earlier checkpoint or a larger --train.steps; where validation chose the steps, "
            "--evaluation.selection fixed trains for all of them"
        )
    return found


def check_trained(found: Found, objectives: Mapping[str, nn.Module]) -> None:
    """See that a checkpoint's optimizers are of the parameters that this training trains.

    Losses of weight 0 train no parameters, so they can differ where all networks are the same.

    Args:
        found: a checkpoint and what it holds.
        objectives: of both sides, by name.

    Raises:
        InputError: they are of others; one of them is named.
    """
    saved, state = found
    for side, objective in objectives.items():
        here, there = trained_parameters(objective).keys(), state.optimizers.get(side, {}).keys()
        for name in sorted(here ^ there):
            which = "this run alone trains" if name in here else "that run alone trained"
            raise InputError(
                f"checkpoint {saved.path}: of other losses: {name} is what {which}; resume from a "
                "run with the same losses, or use --train.resume never"
            )


def check_start(directory: Path, dataset: Dataset, config: Config) -> None:
    """Fail before the training of model selection where the one after it could not start.

    Raises:
        InputError: as in `find_start`.
    """
    sizes = dataset.features.shape[1], dataset.semantics.shape[1], len(dataset.seen_classes)
    other = earlier_checkpoints(config.train.resume)
    made = compatibility(sizes, config, dataset.fingerprint)
    found = checkpoint.checkpoints(RunFiles(directory).checkpoints)
    earlier = checkpoint.checkpoints(other) if other is not None else []
    find_start(found, earlier, made, config.train.steps, lambda text: None)


class Checkpoints(LoopCallback):
    """Writes a checkpoint where the loop saves.

    Args:
        folder: of all of them.
        made: see `compatibility`.
        keep: how many of the newest stay.
        processes: the job.
    """

    def __init__(
        self, folder: Path, made: dict[str, Any], keep: int, processes: DistributedContext
    ) -> None:
        self._folder, self._made, self._keep, self._processes = folder, made, keep, processes

    def save(self, state: checkpoint.SavedState) -> Path:
        """Write one; every process must call."""
        return checkpoint.save(self._folder, state, self._made, self._processes, self._keep)
