"""A small trained-looking model, its parts and features."""

from __future__ import annotations

import numpy as np
import torch

from gzsl_dist.data.scaling import Scaling
from gzsl_dist.evaluation.classifier import SoftmaxClassifier
from gzsl_dist.inference.model import ModelCard, ZeroShotModel
from gzsl_dist.models.critic import Critic
from gzsl_dist.models.embedding import Embedding
from gzsl_dist.models.generator import Generator
from gzsl_dist.models.networks import Networks

CLASSES = ("ant", "bee", "cat", "dog", "eel, long")
SEEN = 3


def parts(space: str = "h", transform: str = "none", seed: int = 0):  # type: ignore[no-untyped-def]
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    features = rng.gamma(2.0, size=(40, 6)).astype(np.float32)
    embedding = Embedding(6, 8, 4) if space != "x" else None
    if embedding is not None:
        for parameter in embedding.parameters():
            torch.nn.init.normal_(parameter)
    networks = Networks(Generator(2, 3, 5, 6), Critic(6, 3, 5), embedding)
    width = {"h": 8, "u": 4, "x": 6, "xh": 14}[space]
    classifier = SoftmaxClassifier(torch.randn(len(CLASSES), width), torch.randn(len(CLASSES)))
    scaling = Scaling.fit(features, transform)  # type: ignore[arg-type]
    return networks, classifier, scaling, features


def card(
    space: str = "h", transform: str = "none", factor: float | None = 0.7, unit: bool = False
) -> ModelCard:
    return ModelCard(
        classes=CLASSES,
        seen_count=SEEN,
        calibration_factor=factor,
        feature_dim=6,
        embedding_dim=0 if space == "x" else 8,
        projection_dim=0 if space == "x" else 4,
        space=space,
        unit_length=unit,
        transform=transform,
        precision="float32",
        method="iapc",
        dataset={"name": "toys", "fingerprint": "0" * 64},
        steps=1,
        seed=0,
    )


def model(
    space: str = "h", transform: str = "none", factor: float | None = 0.7, unit: bool = False
) -> ZeroShotModel:
    networks, classifier, scaling, _ = parts(space, transform)
    made = card(space, transform, factor, unit)
    return ZeroShotModel.of(made, networks.embedding, scaling, classifier.weight, classifier.bias)
