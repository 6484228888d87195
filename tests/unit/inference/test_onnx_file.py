"""The exported graph says the same in another runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gzsl_dist.errors import InputError
from gzsl_dist.inference import onnx_file

from .models import CLASSES, model, parts

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.mark.parametrize(("space", "transform"), [("h", "none"), ("u", "sqrt"), ("x", "log1p")])
def test_onnxruntime_gives_the_same_probabilities(
    space: str, transform: str, tmp_path: Path
) -> None:
    ours = model(space, transform)
    onnx_file.write_onnx(ours, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    features = parts(space, transform)[3]
    for rows in (1, 2, 40):
        (theirs,) = session.run(None, {"features": features[:rows]})
        np.testing.assert_allclose(
            theirs, ours.predict_proba(features[:rows]), rtol=1e-4, atol=1e-6
        )
    metadata = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(metadata["classes"])) == CLASSES


def test_without_onnx_the_command_to_install_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(InputError, match="pip install"):
        onnx_file.write_onnx(model(), tmp_path / "m.onnx")
