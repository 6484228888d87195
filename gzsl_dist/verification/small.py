"""Settings of a training small enough to be repeated, on the embedded data."""

from __future__ import annotations

from gzsl_dist.config import EMBEDDED, Config
from gzsl_dist.config.nested import merge

NETWORKS = {
    "noise_dim": 16,
    "generator_hidden": 64,
    "critic_hidden": 64,
    "embedding_dim": 32,
    "projection_dim": 16,
    "comparator_hidden": 16,
    "prototype_hidden": 16,
}
LARGEST_BATCH = 96


def small_config(config: Config, world_size: int) -> Config:
    """The user's method, losses, strategy and precision on the embedded data, networks small."""
    batch = max(min(config.train.batch_size, LARGEST_BATCH), 2 * world_size + 1)
    small = {
        "data": {"path": EMBEDDED},
        "model": NETWORKS,
        "train": {"batch_size": batch, "micro_batch_size": None, "compile": False, "seed": 1},
        "evaluation": {
            "selection": "fixed",
            "calibration": "none",
            "calibration_factor": None,
            "folds": 1,
            "final": True,
            "rows_per_class": 20,
        },
    }
    return Config.model_validate(merge(config.model_dump(), small))
