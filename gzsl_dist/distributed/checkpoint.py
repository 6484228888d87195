"""Saving and loading a training's state: safetensors and JSON, which cannot run code.

The form is that of one process, so a run can resume with another number of processes or strategy.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import OptimizerState
from gzsl_dist.errors import InputError
from gzsl_dist.files import PARTIAL, atomic_path

FORMAT_VERSION = 2
NETWORKS, OPTIMIZERS, STATE = "networks.safetensors", "optimizers.safetensors", "state.json"
AVERAGES = "averages.safetensors"  # only where weights are averaged

SPLIT = "validation split"
ANYTHING = object()
BEFORE = {"model.anchor": "none", SPLIT: ANYTHING}
"""What checkpoints were made for that do not say it, being older."""


@dataclass(frozen=True)
class Checkpoint:
    """A saved state on disk: its folder, ``step-<8 digits>``, and generator steps done."""

    path: Path
    step: int


@dataclass(frozen=True)
class SavedState:
    """What a checkpoint holds: all networks, each side's optimizer, averaged weights by name.

    `validation_h` is H on validation classes at this step, None where it was not measured.
    """

    step: int
    networks: dict[str, Tensor]
    optimizers: dict[str, OptimizerState]
    validation_h: float | None = None
    averages: dict[str, Tensor] = field(default_factory=dict)


def checkpoints(folder: Path) -> list[Checkpoint]:
    """All finished checkpoints in a folder, oldest first; of a checkpoint's own folder, itself."""
    if not folder.is_dir():
        return []
    paths = [folder] if re.fullmatch(r"step-\d{8}", folder.name) else folder.iterdir()
    matches = ((path, re.fullmatch(r"step-(\d{8})", path.name)) for path in paths)
    found = [Checkpoint(path, int(match[1])) for path, match in matches if match]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def prepare(folder: Path, processes: DistributedContext) -> None:
    """Make a folder for checkpoints, and clear it of what a killed process left half written.

    Raises:
        InputError: it cannot be written; better told before training than after.
    """

    def make() -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for partial in folder.glob(PARTIAL + "*"):
                shutil.rmtree(partial)
            probe = folder / f"{PARTIAL}probe"
            probe.mkdir()
            probe.rmdir()
        except OSError as error:
            raise InputError(
                f"checkpoint folder {folder}: cannot be written ({error.strerror}); choose another "
                "--run.dir"
            ) from None

    processes.run_on_rank0(make)


def save(
    folder: Path,
    state: SavedState,
    compatibility: dict[str, Any],
    processes: DistributedContext,
    keep: int,
) -> Path:
    """Write a checkpoint beside, rename it into place, and delete old ones; returns its folder.

    Checkpoints of later steps are damaged, or training would have resumed from them: they are
    moved aside, as ``later-step-<8 digits>``, so that they do not count as the newest.

    Args:
        folder: the run's ``checkpoints``.
        state: what to save.
        compatibility: what `load` is to compare, by names that users know; JSON values.
        processes: the job; its first process writes.
        keep: number of newest checkpoints that stay, beside the one with the best validation.

    Raises:
        InputError: the folder cannot be written.
    """
    final = folder / f"step-{state.step:08d}"

    def write() -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(final, one_writer=True) as partial:
                partial.mkdir()
                _write_files(partial, state, compatibility)
            for later in checkpoints(folder):
                if later.step > state.step:
                    aside = folder / f"later-{later.path.name}"
                    shutil.rmtree(aside, ignore_errors=True)
                    later.path.rename(aside)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise InputError(
                f"checkpoint {final}: cannot be written ({reason}); older ones are kept, make room "
                "and start the same command again"
            ) from None
        found = checkpoints(folder)
        for old in set(found[:-keep]) - {best_by_validation(found)}:
            shutil.rmtree(old.path, ignore_errors=True)

    processes.run_on_rank0(write)
    return final


def _write_files(folder: Path, state: SavedState, compatibility: dict[str, Any]) -> None:
    moments = {
        f"{side}/{name}/{key}": value
        for side, parameters in state.optimizers.items()
        for name, values in parameters.items()
        for key, value in values.items()
    }
    files = {NETWORKS: state.networks, OPTIMIZERS: moments}
    if state.averages:
        files[AVERAGES] = state.averages
    for name, tensors in files.items():
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / name)
    facts = {
        "format_version": FORMAT_VERSION,
        "step": state.step,
        "validation_h": state.validation_h,
        "made_for": compatibility,
        "sha256": {name: _checksum(folder / name) for name in files},
    }
    (folder / STATE).write_text(json.dumps(facts, indent=2))


def best_by_validation(found: Sequence[Checkpoint]) -> Checkpoint | None:
    """The checkpoint with the highest validation H, the first of equals; None without any."""
    figures: dict[Checkpoint, float] = {}
    for checkpoint in found:
        with suppress(DamagedError):
            value = _read_state(checkpoint).get("validation_h")
            if isinstance(value, float):
                figures[checkpoint] = value
    return max(figures, key=lambda one: (figures[one], -one.step), default=None)


def load(
    checkpoint: Checkpoint, compatibility: dict[str, Any], *, optimizers: bool = True
) -> SavedState:
    """Read a checkpoint; the state of optimizers only where training resumes.

    Raises:
        DamagedError: its files are not what was saved.
        InputError: it is of another format, or what it was made for differs, which is named.
    """
    facts = _read_state(checkpoint)
    if facts.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"checkpoint {checkpoint.path}: format version {facts.get('format_version')}, this "
            f"program reads {FORMAT_VERSION}"
        )
    saved_for = facts.get("made_for")
    for name, expected in compatibility.items():
        found = ANYTHING  # of a damaged one, reported below
        if isinstance(saved_for, dict):
            found = saved_for.get(name, BEFORE.get(name))
        if found != expected and found is not ANYTHING:
            raise InputError(
                f"checkpoint {checkpoint.path}: made with {name} = {found}, this run has "
                f"{expected}; use the same, or another --run.dir"
            )
    try:
        averaged = AVERAGES in facts["sha256"]
        files = [NETWORKS, *([AVERAGES] if averaged else []), *([OPTIMIZERS] if optimizers else [])]
        for name in files:
            if _checksum(checkpoint.path / name) != facts["sha256"][name]:
                raise ValueError(f"{name} does not have the checksum it was saved with")
        if not isinstance(saved_for, dict):
            raise ValueError(f"{STATE} does not say what it was made for")
        networks = load_file(checkpoint.path / NETWORKS)
        averages = load_file(checkpoint.path / AVERAGES) if averaged else {}
        states: dict[str, OptimizerState] = {}
        for name, value in load_file(checkpoint.path / OPTIMIZERS).items() if optimizers else ():
            side, parameter, key = name.split("/")
            states.setdefault(side, {}).setdefault(parameter, {})[key] = value
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _damaged(checkpoint, error) from None
    return SavedState(checkpoint.step, networks, states, facts.get("validation_h"), averages)


def restore(
    checkpoint: Checkpoint, state: SavedState, networks: nn.Module, *, averaged: bool = False
) -> None:
    """Put saved weights into networks; averaged ones, where there are any, if these are asked for.

    Raises:
        InputError: they are of other networks or shapes.
    """
    try:
        networks.load_state_dict(state.networks | (state.averages if averaged else {}))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"checkpoint {checkpoint.path}: made for other networks ({reason}); use another "
            "--run.dir"
        ) from None


def latest_valid(
    found: Sequence[Checkpoint], compatibility: dict[str, Any], warn: Callable[[str], None]
) -> tuple[Checkpoint, SavedState] | None:
    """The newest of some `checkpoints` that is not damaged; each damaged one is warned of.

    Raises:
        InputError: all are damaged, or the newest is of another format or made for something else.
    """
    for checkpoint in reversed(found):
        try:
            return checkpoint, load(checkpoint, compatibility)
        except DamagedError as error:
            if checkpoint is found[0]:
                raise DamagedError(
                    f"{error}; no whole one is left: put back a copy, or start anew with "
                    "--train.resume never, which moves this run aside"
                ) from None
            warn(f"warning: {error}; using the one before")
    return None


class DamagedError(InputError):
    """A checkpoint's files are not what was saved."""


def _damaged(checkpoint: Checkpoint, error: Exception) -> DamagedError:
    reason = " ".join(str(error).split())[:200]
    return DamagedError(f"checkpoint {checkpoint.path}: damaged ({reason})")


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _read_state(checkpoint: Checkpoint) -> dict[str, Any]:
    try:
        return dict(json.loads((checkpoint.path / STATE).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(checkpoint, error) from None
