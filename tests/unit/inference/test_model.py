"""A model's probabilities against plain numpy; its file; refusals."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gzsl_dist.errors import InputError
from gzsl_dist.inference.load import load_model
from gzsl_dist.inference.model import ZeroShotModel

from .models import CLASSES, SEEN, card, model, parts


def by_hand(space: str, transform: str, factor: float | None, unit: bool = False) -> np.ndarray:
    """Probabilities from the formulas alone, row by row, in float64."""
    networks, classifier, scaling, features = parts(space, transform)
    result = []
    for row in features.astype(np.float64):
        changed = {"none": row, "sqrt": np.sqrt(row), "log1p": np.log1p(row)}[transform]
        scaled = inputs = (changed - scaling.minimum) / scaling.extent
        if networks.embedding is not None:
            weights = {
                n: p.detach().double().numpy() for n, p in networks.embedding.named_parameters()
            }
            inputs = np.maximum(weights["embed.weight"] @ inputs + weights["embed.bias"], 0)
            if space == "u":
                inputs = weights["project.weight"] @ inputs + weights["project.bias"]
                inputs = inputs / np.linalg.norm(inputs)
        seen_parts = {"xh": [scaled, inputs]}.get(space, [inputs])
        if unit:
            seen_parts = [part / max(np.linalg.norm(part), 1e-12) for part in seen_parts]
        inputs = np.concatenate(seen_parts)
        logits = classifier.weight.double().numpy() @ inputs + classifier.bias.double().numpy()
        share = np.exp(logits - logits.max())
        if factor is not None:
            share[:SEEN] *= np.exp(-factor)
        result.append(share / share.sum())
    return np.array(result)


@pytest.mark.parametrize("factor", [None, 0.7, -2.0])
@pytest.mark.parametrize("transform", ["none", "sqrt", "log1p"])
@pytest.mark.parametrize("space", ["h", "u", "x", "xh"])
@pytest.mark.parametrize("unit", [False, True])
def test_probabilities_are_the_formulas(
    space: str, transform: str, factor: float | None, unit: bool
) -> None:
    features = parts(space, transform)[3]
    found = model(space, transform, factor, unit).predict_proba(features)
    expected = by_hand(space, transform, factor, unit)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_names_are_those_of_the_largest_probability() -> None:
    features = parts()[3]
    expected = [CLASSES[number] for number in by_hand("h", "none", 0.7).argmax(axis=1)]
    assert model().predict(features).tolist() == expected


@pytest.mark.parametrize("space", ["h", "x"])
def test_a_saved_model_is_the_same(space: str, tmp_path: Path) -> None:
    features = parts(space)[3]
    first = model(space)
    first.save(tmp_path / "deep" / "model.safetensors")
    again = load_model(tmp_path / "deep" / "model.safetensors")
    assert again.card == first.card
    assert (again.predict_proba(features) == first.predict_proba(features)).all()


def test_fewer_classes_share_the_probability() -> None:
    features = parts()[3]
    some = model().restricted(("dog", "ant"))
    assert (some.seen_classes, some.unseen_classes) == (("ant",), ("dog",))
    whole = by_hand("h", "none", 0.7)[:, [0, 3]]
    expected = whole / whole.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(some.predict_proba(features), expected, rtol=2e-4, atol=1e-6)


def test_among_unseen_classes_alone_nothing_is_calibrated() -> None:
    assert model().is_calibrated
    assert not model().restricted(("dog", "eel, long")).is_calibrated
    assert not model(factor=None).is_calibrated


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((2, 5)), "rows of 6 values"),
        (np.zeros(6), "rows of 6 values"),
        (np.array([[0.0] * 6, [np.nan] * 6]), "row 1"),
        (np.full((1, 6), np.inf), "row 0"),
        (np.full((1, 6), "a"), "give numbers"),
    ],
)
def test_wrong_features_are_refused(features: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model().predict(features)


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(InputError, match="'cow' is no class"):
        model().restricted(("cow",))


def test_no_rows_give_no_names() -> None:
    assert model().predict(np.empty((0, 6))).shape == (0,)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(InputError, match="no such file"):
        load_model(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="damaged"):
        load_model(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="no model of gzsl_dist"):
        load_model(path)
    onnx = path.with_suffix(".onnx")
    onnx.write_bytes(b"graph")
    with pytest.raises(InputError, match="ONNX is for other programs"):
        load_model(onnx)
    with pytest.raises(InputError, match="no run"):
        load_model(tmp_path)
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(InputError, match="not finished"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "format version 99"),
        ({"feature_dim": 7}, "damaged"),
        ({"space": "q"}, "damaged"),
        ({"classes": 3}, "damaged"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    state = {name: value.contiguous() for name, value in model().state_dict().items()}
    save_file(state, path, {"gzsl_dist": json.dumps(asdict(card()) | change)})
    with pytest.raises(InputError, match=message):
        load_model(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model().save(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="damaged"):
        load_model(path)


def test_the_card_alone_builds_the_same_shapes() -> None:
    shapes = {
        name: tuple(value.shape) for name, value in ZeroShotModel(card()).state_dict().items()
    }
    assert shapes["classifier.weight"] == (5, 8)
    assert shapes["embedding.embed.weight"] == (8, 6)


def test_a_run_measured_before_baselines_had_models_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("method: ridge\n")
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(InputError, match=r"by an older version, has no .*--train\.resume never"):
        load_model(tmp_path)
