"""The cosine of a CLIP's images and texts as a method; with small random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import recall_score
from sklearn.metrics.pairwise import cosine_similarity

import gzsl_dist
from gzsl_dist import extract, train
from gzsl_dist.baselines.clip import check_clip, clip
from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.problem import final_problem
from gzsl_dist.data.store import read_dataset
from gzsl_dist.errors import InputError
from tests.unit.extraction.small import PER_CLASS, tiny_clip, write_problem


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    name = tiny_clip(folder)
    given = [*write_problem(folder), "--image-encoder", name, "--text-encoder", name]
    assert extract.main([*given, "--out", str(folder / "data.h5")]) == 0
    return folder


@pytest.fixture
def data(folder: Path) -> Dataset:
    return read_dataset(folder / "data.h5")


def cosines(data: Dataset) -> np.ndarray:
    features, texts = data.features[:].astype(float), data.semantics.astype(float)
    return np.asarray(100 * cosine_similarity(features, texts))


def test_scores_are_plain_cosines_of_features_that_are_not_scaled(data: Dataset) -> None:
    problem = final_problem(data, Config.model_validate({"method": "clip"}))
    (candidate,) = clip(problem)
    found = candidate.score(problem.unseen.features[:])
    expected = cosines(data)[data.splits["test_unseen"]][:, problem.classes]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_run_measures_them(folder: Path, data: Dataset) -> None:
    run = folder / "run"
    where = ["--data.path", str(folder / "data.h5"), "--run.dir", str(run)]
    assert train.main(["--method", "clip", *where, "--quiet"]) == 0
    result = json.loads((run / "result.json").read_text())
    for figures, factor in ((result, result["calibration"]["factor"]), (result["raw"], 0)):
        for name, split in (("S", "test_seen"), ("U", "test_unseen")):
            rows = data.splits[split]
            lowered = cosines(data)[rows]
            lowered[:, data.seen_classes] -= factor
            truth, found = data.labels[rows], lowered.argmax(axis=1)
            expected = recall_score(truth, found, labels=np.unique(truth), average="macro")
            assert figures[name] == pytest.approx(expected), name
    images = [str(path) for path in sorted((folder / "images").glob("*/0.png"))]
    scores = cosines(data)
    scores[:, data.seen_classes] -= result["calibration"]["factor"]
    first = scores.argmax(axis=1)[::PER_CLASS]
    assert gzsl_dist.load(run).predict_images(images).tolist() == [
        data.classes[number] for number in first
    ]
    assert result["calibration"]["factor"] > 0


def test_other_data_are_refused(data: Dataset) -> None:
    check_clip(data)
    with pytest.raises(InputError, match="features of 16 values and semantics of 8, which have no"):
        check_clip(replace(data, semantics=data.semantics[:, :8]))
    with pytest.raises(InputError, match="come from unknown, its semantics from unknown"):
        check_clip(replace(data, origin={}))
    for changed in ({"name": "timm:x"}, {"weights_sha256": "0"}):
        text = {**data.origin["text_encoder"], **changed}
        with pytest.raises(InputError, match="which are not one CLIP; make the data by gzsl_dist"):
            check_clip(replace(data, origin={**data.origin, "text_encoder": text}))
