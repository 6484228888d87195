"""A run's model in a folder with all that new classes take: its networks and its training rows.

The folder is read as a run directory is, also on a machine that has neither run nor data.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gzsl_dist.config.files import read_run_config, to_yaml
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.data.dataset import TEST_SPLITS, Dataset, FloatArray
from gzsl_dist.data.load import load_dataset
from gzsl_dist.data.store import write_dataset
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.processes import start_processes
from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_path
from gzsl_dist.inference.model import ZeroShotModel
from gzsl_dist.run.files import RunFiles
from gzsl_dist.run.selection import Selection
from gzsl_dist.training.resume import compatibility
from gzsl_dist.training.trained import newest_checkpoint


def check_folder(out: Path) -> None:
    """See that nothing is replaced.

    Raises:
        InputError: there is something.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"--out {out}: exists already; name a new folder")


def write_carried(
    run: Path, model: ZeroShotModel, names: tuple[str, ...], semantics: FloatArray, out: Path
) -> None:
    """Write the folder, whole or not at all.

    Args:
        run: what `model` comes from: its directory, or such a folder.
        model: with the new classes.
        names: of the new classes, and their `semantics`, ``(new classes, d_a)``; perhaps none.
        out: the folder; a new one, or empty.

    Raises:
        InputError: the run or its data are not as they were, or the disk is full.
    """
    config = read_run_config(run)
    dataset = load_dataset(config.data.path, config.data.in_memory)
    carried = _training_rows(dataset, names, semantics)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _write(run, model, carried, dataset.fingerprint, out)
    except OSError as error:
        raise InputError(
            f"--out {out}: cannot be written ({error.strerror}); choose another place"
        ) from None


def _write(run: Path, model: ZeroShotModel, carried: Dataset, fingerprint: str, out: Path) -> None:
    """The files, of which checkpoint and selection were made for data with `fingerprint`."""
    config, old = read_run_config(run), RunFiles(run)
    with atomic_path(out) as partial:
        partial.mkdir()
        new = RunFiles(partial)
        write_dataset(new.training_rows, carried)
        new.config.write_text(to_yaml(config), encoding="utf-8")
        if old.selection.exists():
            new.selection_folder.mkdir()
            chosen = Selection.read(old.selection, fingerprint)
            replace(chosen, fingerprint=carried.fingerprint).write(new.selection)
        if config.method not in BASELINES:
            sizes = (
                carried.features.shape[1],
                carried.semantics.shape[1],
                len(carried.seen_classes),
            )
            newest = newest_checkpoint(run)
            made = compatibility(sizes, config, fingerprint)
            saved = checkpoint.load(newest, made, optimizers=False)
            made = compatibility(sizes, config, carried.fingerprint)
            with start_processes() as processes:
                checkpoint.save(new.checkpoints, saved, made, processes, keep=1)
        model.save(new.model)


def _training_rows(dataset: Dataset, names: tuple[str, ...], semantics: FloatArray) -> Dataset:
    """Its training rows alone, in their order, and all classes: the new ones behind the others."""
    rows = dataset.splits["trainval"]
    return Dataset(
        name=dataset.name,
        features=np.asarray(dataset.features[rows]),
        labels=dataset.labels[rows],
        semantics=np.concatenate([dataset.semantics, semantics]) if names else dataset.semantics,
        classes=dataset.classes + names,
        splits={"trainval": np.arange(len(rows)), **{name: rows[:0] for name in TEST_SPLITS}},
        missing=dataset.missing,
        origin=dataset.origin,
    )
