"""Classes that a run's model is to know besides, as the command line or Python gives them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from gzsl_dist.baselines.run import choose_penalties
from gzsl_dist.config.files import read_run_config
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.data.arrays import semantic_matrix
from gzsl_dist.data.dataset import FloatArray
from gzsl_dist.data.load import load_dataset
from gzsl_dist.distributed.processes import start_processes
from gzsl_dist.errors import InputError
from gzsl_dist.extraction.classes import class_names
from gzsl_dist.extraction.recorded import encode_classes
from gzsl_dist.extraction.tables import read_table
from gzsl_dist.inference.assemble import with_new_classes
from gzsl_dist.inference.files import is_in_words, read_new_classes
from gzsl_dist.inference.model import NEEDS_RUN, ZeroShotModel
from gzsl_dist.run.files import RunFiles
from gzsl_dist.training.trained import load_run


def model_with_classes(model: ZeroShotModel, options: argparse.Namespace) -> ZeroShotModel:
    """The model of a run with the classes that options name; itself where they name none.

    Args:
        model: of the run.
        options: ``run`` and those of `gzsl_dist.inference.arguments.add_class_arguments`.

    Raises:
        InputError: they cannot be read, are known already, or the run is a model alone.
    """
    names, semantics = named_classes(model, options)
    return with_classes(model, names, semantics)


def named_classes(
    model: ZeroShotModel, options: argparse.Namespace
) -> tuple[tuple[str, ...], FloatArray]:
    """The classes that options name, and their semantics ``(new classes, d_a)``; perhaps none.

    Raises:
        InputError: as in `model_with_classes`.
    """
    if options.add_classes is None and not options.add_class:
        return (), np.empty((0, 0), np.float32)
    _run_of(model, "--add-class" if options.add_class else "--add-classes", options.run)
    names: tuple[str, ...] = ()
    parts = []
    if options.add_classes is not None:
        path = options.add_classes
        if is_in_words(path):
            rows = read_table(path, needs=("name",))
            names = class_names(rows, path)
            parts.append(encode_classes(model.card.origin, rows, str(path), options.text_encoder))
        else:
            names, semantics = read_new_classes(path)
            parts.append(semantics)
    if options.add_class:
        rows = options.add_class
        parts.append(encode_classes(model.card.origin, rows, "--add-class", options.text_encoder))
        names += tuple(row["name"] for row in rows)
    if len({part.shape[1] for part in parts}) > 1:
        raise InputError(f"{options.add_classes}: other semantics than --add-class gives; use one")
    return names, np.concatenate(parts)


def with_classes(
    model: ZeroShotModel, names: tuple[str, ...], semantics: FloatArray
) -> ZeroShotModel:
    """The model of a run with classes more; itself where there are none."""
    if not names:
        return model
    print(f"{len(names)} new classes; fitting the classifier anew", flush=True)
    return _fitted(_run_of(model, "--add-classes"), names, semantics)


def model_with_more(model: ZeroShotModel, classes: Mapping[str, ArrayLike]) -> ZeroShotModel:
    """A model of a run with new classes, a vector ``(d_a,)`` of semantics each.

    Raises:
        InputError: it comes from no run; semantics of another length, or a class that it knows.
    """
    run = _run_of(model, "add_classes")
    if not isinstance(classes, Mapping) or not all(isinstance(name, str) for name in classes):
        raise InputError("add_classes: give a dictionary of texts, names, and their semantics")
    names, semantics = tuple(classes), semantic_matrix(classes, "add_classes")
    if twice := [name for name in names if name in model.added]:
        raise InputError(f"add_classes: {twice[0]!r} was added already; leave it out")
    new = dict(zip(names, semantics, strict=True))
    before = dict(model.added)
    if before and len({len(vector) for vector in (*before.values(), *new.values())}) == 1:
        names, semantics = tuple(before | new), np.stack([*before.values(), *new.values()])
    found = _fitted(run, names, semantics)
    found.run, found.learn, found.added = run, model.learn, before | new
    return found


def _run_of(model: ZeroShotModel, what: str, path: Path | None = None) -> Path:
    if model.run is None:
        raise InputError(f"{what}: {path or 'this'} is a model alone; {NEEDS_RUN}")
    return model.run


def _fitted(run: Path, names: tuple[str, ...], semantics: FloatArray) -> ZeroShotModel:
    config = read_run_config(run)
    with start_processes() as processes:
        if config.method in BASELINES:
            dataset = load_dataset(config.data.path, config.data.in_memory)
            selection = choose_penalties(dataset, config, RunFiles(run).selection)
            parts = (None, dataset, config, selection)
            return with_new_classes(*parts, names, semantics, processes)
        one = load_run(run, processes)
        trained = (one.networks, one.dataset, one.config, one.selection)
        return with_new_classes(*trained, names, semantics, processes)
