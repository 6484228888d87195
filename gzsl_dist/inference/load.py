"""A model from a run directory, a folder that carries one, or a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open

from gzsl_dist.errors import InputError
from gzsl_dist.inference.model import FORMAT_VERSION, ModelCard, ZeroShotModel
from gzsl_dist.run.files import RunFiles


def load_model(path: str | Path) -> ZeroShotModel:
    """Load a finished run's model, or a ``.safetensors`` file that ``gzsl_dist.export`` made.

    Raises:
        InputError: no such file, an unfinished run, or no model of this package.
    """
    file = Path(path)
    run = file if file.is_dir() else None
    if run is not None:
        if not RunFiles(file).config.exists():
            raise InputError(f"{file}: no run; name a run directory made by gzsl_dist.train")
        finished, file = RunFiles(file).result.exists(), RunFiles(file).model
        if not file.exists():  # of baselines, version 0.1 wrote none
            problem = "measured by an older version" if finished else "not finished"
            remedy = "with --train.resume never" if finished else "it resumes"
            raise InputError(
                f"{file.parent}: {problem}, has no {file.name}; start its training again, {remedy}"
            )
    if file.suffix == ".onnx":
        raise InputError(
            f"{file}: ONNX is for other programs (onnxruntime); give the run, or a .safetensors "
            "file that export made of it"
        )
    try:
        with safe_open(file, "pt") as opened:
            header = (opened.metadata() or {}).get("gzsl_dist")
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(
            f"{file}: no such file; name a run directory or an exported model"
        ) from None
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{file}: damaged, or no safetensors file ({error}); export it again"
        ) from None
    try:
        values = json.loads(header or "")
        if values.get("format_version") != FORMAT_VERSION:
            raise InputError(
                f"{file}: format version {values.get('format_version')}, this gzsl_dist reads "
                f"{FORMAT_VERSION}; export it again"
            )
        values["classes"] = tuple(values["classes"])
        names = {entry.name for entry in fields(ModelCard)}
        card = ModelCard(**{name: value for name, value in values.items() if name in names})
        model = ZeroShotModel(card)
        model.load_state_dict(state)
        if run is not None:
            model.run, model.learn = run, _with_more
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        raise InputError(f"{file}: no model of gzsl_dist, or damaged; export it again") from None
    return model


def _with_more(model: ZeroShotModel, classes: Mapping[str, ArrayLike]) -> ZeroShotModel:
    from gzsl_dist.inference.new_classes import model_with_more  # what trains takes long to import

    return model_with_more(model, classes)
