"""Sizes of networks that tests build often."""

from __future__ import annotations

SMALL_NETWORKS = {
    "noise_dim": 8,
    "generator_hidden": 32,
    "critic_hidden": 16,
    "embedding_dim": 16,
    "projection_dim": 8,
    "comparator_hidden": 8,
    "prototype_hidden": 8,
}
