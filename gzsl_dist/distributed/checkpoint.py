"""Saving and loading a training's state: safetensors and JSON, which cannot run code.

The form is that of one process, so a run can go on with another number of processes or strategy.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gzsl_dist.distributed.processes import Processes
from gzsl_dist.distributed.strategies import OptimizerState
from gzsl_dist.errors import InputError

FORMAT_VERSION = 1
NETWORKS, OPTIMIZERS, STATE = "networks.safetensors", "optimizers.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """A saved state on disk.

    Attributes:
        path: its folder, ``step-<8 digits>``.
        step: generator steps done.
    """

    path: Path
    step: int


@dataclass(frozen=True)
class SavedState:
    """What a checkpoint holds.

    Attributes:
        step: generator steps done.
        networks: state of all networks.
        optimizers: state of each side's optimizer.
    """

    step: int
    networks: dict[str, Tensor]
    optimizers: dict[str, OptimizerState]


def checkpoints(folder: Path) -> list[Checkpoint]:
    """All finished checkpoints in a folder, oldest first."""
    if not folder.is_dir():
        return []
    matches = ((path, re.fullmatch(r"step-(\d{8})", path.name)) for path in folder.iterdir())
    found = [Checkpoint(path, int(match[1])) for path, match in matches if match]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def save(
    folder: Path,
    state: SavedState,
    fingerprint: str,
    processes: Processes,
    keep: int,
) -> None:
    """Write a checkpoint beside, rename it into place, and delete all but the newest `keep`.

    Args:
        folder: the run's ``checkpoints``.
        state: what to save.
        fingerprint: of the data set.
        processes: the job; its first process writes.
        keep: number of checkpoints that stay.

    Raises:
        InputError: the folder cannot be written.
    """

    def write() -> None:
        final = folder / f"step-{state.step:08d}"
        partial = folder / f".writing-{final.name}"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            moments = {
                f"{side}/{name}/{key}": value
                for side, parameters in state.optimizers.items()
                for name, values in parameters.items()
                for key, value in values.items()
            }
            for name, tensors in ((NETWORKS, state.networks), (OPTIMIZERS, moments)):
                save_file(
                    {key: value.contiguous() for key, value in tensors.items()}, partial / name
                )
            sums = {name: _checksum(partial / name) for name in (NETWORKS, OPTIMIZERS)}
            facts = {"step": state.step, "fingerprint": fingerprint, "sha256": sums}
            (partial / STATE).write_text(json.dumps({"format_version": FORMAT_VERSION, **facts}))
            for path in [*partial.iterdir(), partial]:
                _fsync(path)
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            _fsync(folder)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise InputError(f"checkpoint {final}: cannot be written ({reason})") from None
        for old in checkpoints(folder)[:-keep]:
            shutil.rmtree(old.path, ignore_errors=True)

    processes.once(write)


def load(checkpoint: Checkpoint, fingerprint: str, *, optimizers: bool = True) -> SavedState:
    """Read a checkpoint.

    Args:
        checkpoint: what to read.
        fingerprint: of the data set in use.
        optimizers: whether to read their state too, which only training needs.

    Raises:
        DamagedError: its files are not what was saved.
        InputError: it is of another format, or made from another data set.
    """
    facts = _read_state(checkpoint)
    if facts.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"checkpoint {checkpoint.path}: format version {facts.get('format_version')}, this "
            f"program reads {FORMAT_VERSION}"
        )
    if facts.get("fingerprint") != fingerprint:
        raise InputError(
            f"checkpoint {checkpoint.path}: made from a data set with fingerprint "
            f"{str(facts.get('fingerprint'))[:12]}, this one has {fingerprint[:12]}; use the same "
            "data or another --run.dir"
        )
    try:
        for name in (NETWORKS, OPTIMIZERS) if optimizers else (NETWORKS,):
            if _checksum(checkpoint.path / name) != facts["sha256"][name]:
                raise ValueError(f"{name} does not have the checksum it was saved with")
        networks = load_file(checkpoint.path / NETWORKS)
        states: dict[str, OptimizerState] = {}
        for name, value in load_file(checkpoint.path / OPTIMIZERS).items() if optimizers else ():
            side, parameter, key = name.split("/")
            states.setdefault(side, {}).setdefault(parameter, {})[key] = value
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _damaged(checkpoint, error) from None
    return SavedState(checkpoint.step, networks, states)


def restore(checkpoint: Checkpoint, state: SavedState, networks: nn.Module) -> None:
    """Put saved weights into networks.

    Raises:
        InputError: they are of other networks or shapes.
    """
    try:
        networks.load_state_dict(state.networks)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"checkpoint {checkpoint.path}: made for other networks ({reason}); use another "
            "--run.dir"
        ) from None


def newest_whole(
    folder: Path, fingerprint: str, warn: Callable[[str], None]
) -> tuple[Checkpoint, SavedState] | None:
    """The newest checkpoint that is not damaged; each damaged one is warned of.

    Raises:
        InputError: all are damaged, or the newest is of another format or data set.
    """
    found = checkpoints(folder)
    for checkpoint in reversed(found):
        try:
            return checkpoint, load(checkpoint, fingerprint)
        except DamagedError as error:
            if checkpoint is found[0]:
                raise
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


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
