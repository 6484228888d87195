"""A trained model in the Open Neural Network Exchange format."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from dataclasses import asdict
from pathlib import Path

import torch

from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_write
from gzsl_dist.inference.model import ZeroShotModel

INSTALL = "pip install 'gzsl_dist[onnx]'"


def write_onnx(model: ZeroShotModel, path: Path) -> None:
    """Write scaling, embedding, classifier and calibration as one graph, whole or not at all.

    Input ``features`` ``(rows, d_x)``, any number of rows; output ``probabilities``
    ``(rows, classes)``. The metadata ``classes`` is a JSON list of names, ``gzsl_dist`` the card.

    Raises:
        InputError: the package onnx is not installed, or the file cannot be written.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError:
        raise InputError(f"--out {path}: needs the package onnx: {INSTALL}") from None
    example = torch.zeros(2, model.card.feature_dim).to(model.minimum)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            model,
            (example,),
            input_names=["features"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("rows")},),
            dynamo=True,
        )
    if program is None:
        raise InputError(f"--out {path}: torch could not export the model; update torch and onnx")
    graph = program.model_proto
    onnx.helper.set_model_props(
        graph,
        {"classes": json.dumps(model.classes), "gzsl_dist": json.dumps(asdict(model.card))},
    )
    atomic_write(path, graph.SerializeToString())
