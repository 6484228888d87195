"""Losses, one a file: pure functions of tensors; torch is imported where one is computed."""

from gzsl_dist.losses.comparator import comparator_loss
from gzsl_dist.losses.instance import instance_loss, robust_loss, supcon_loss
from gzsl_dist.losses.prototype import margin_softmax_loss, prototype_loss
from gzsl_dist.losses.registry import EmbeddingLoss
from gzsl_dist.losses.wgan import generator_loss, gradient_penalty, wasserstein_loss

__all__ = [
    "EmbeddingLoss",
    "comparator_loss",
    "generator_loss",
    "gradient_penalty",
    "instance_loss",
    "margin_softmax_loss",
    "prototype_loss",
    "robust_loss",
    "supcon_loss",
    "wasserstein_loss",
]
