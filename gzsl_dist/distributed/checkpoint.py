"""Saving and loading a training's state: safetensors and weights-only files, never code."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from gzsl_dist.distributed.processes import Processes
from gzsl_dist.distributed.strategies import Trainable
from gzsl_dist.errors import InputError

FORMAT_VERSION = 1
NETWORKS, OPTIMIZERS, STATE = "networks.safetensors", "optimizers.pt", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """A saved state on disk.

    Attributes:
        path: its folder, ``step-<8 digits>``.
        step: generator steps done.
    """

    path: Path
    step: int


def checkpoints(folder: Path) -> list[Checkpoint]:
    """All finished checkpoints in a folder, oldest first."""
    if not folder.is_dir():
        return []
    matches = ((path, re.fullmatch(r"step-(\d{8})", path.name)) for path in folder.iterdir())
    found = [Checkpoint(path, int(match[1])) for path, match in matches if match]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def save(
    folder: Path,
    step: int,
    networks: nn.Module,
    trainables: dict[str, Trainable],
    fingerprint: str,
    processes: Processes,
    keep: int,
) -> None:
    """Write a checkpoint beside, rename it into place, and delete all but the newest `keep`.

    Args:
        folder: the run's ``checkpoints``.
        step: generator steps done.
        networks: all networks.
        trainables: objectives with optimizers, by name.
        fingerprint: of the data set.
        processes: the job; its first process writes.
        keep: number of checkpoints that stay.

    Raises:
        InputError: the folder cannot be written.
    """
    optimizers = {name: trainable.state_dict() for name, trainable in trainables.items()}

    def write() -> None:
        final = folder / f"step-{step:08d}"
        partial = folder / f".writing-{final.name}"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            tensors = {key: value.contiguous() for key, value in networks.state_dict().items()}
            save_file(tensors, partial / NETWORKS)
            torch.save(optimizers, partial / OPTIMIZERS)
            state = {"format_version": FORMAT_VERSION, "step": step, "fingerprint": fingerprint}
            (partial / STATE).write_text(json.dumps(state))
            for path in [*partial.iterdir(), partial]:
                _fsync(path)
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            _fsync(folder)
        except OSError as error:
            raise InputError(f"checkpoint {final}: cannot be written ({error.strerror})") from None
        for old in checkpoints(folder)[:-keep]:
            shutil.rmtree(old.path, ignore_errors=True)

    processes.once(write)


def load(
    checkpoint: Checkpoint,
    networks: nn.Module,
    trainables: dict[str, Trainable],
    fingerprint: str,
) -> None:
    """Restore networks and optimizers.

    Args:
        checkpoint: what to load.
        networks: restored in place.
        trainables: their optimizers are restored; may be empty to use the networks only.
        fingerprint: of the data set in use.

    Raises:
        InputError: damaged, of another format, or made from another data set or other shapes.
    """
    state = _read_state(checkpoint)
    if state.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"checkpoint {checkpoint.path}: format version {state.get('format_version')}, this "
            f"program reads {FORMAT_VERSION}"
        )
    if state.get("fingerprint") != fingerprint:
        raise InputError(
            f"checkpoint {checkpoint.path}: made from a data set with fingerprint "
            f"{str(state.get('fingerprint'))[:12]}, this one has {fingerprint[:12]}; use the same "
            "data or another --run.dir"
        )
    try:
        networks.load_state_dict(load_file(checkpoint.path / NETWORKS))
        if trainables:
            optimizers = torch.load(
                checkpoint.path / OPTIMIZERS, map_location="cpu", weights_only=True
            )
            for name, trainable in trainables.items():
                trainable.load_state_dict(optimizers[name])
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"checkpoint {checkpoint.path}: cannot be loaded ({reason}); delete this folder to go "
            "on from the one before, or use another --run.dir"
        ) from None


def _read_state(checkpoint: Checkpoint) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((checkpoint.path / STATE).read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"checkpoint {checkpoint.path}: {STATE} cannot be read ({error})"
        ) from None
    return state


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
