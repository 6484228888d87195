"""Sizes that fit the data: what `size` sets where nobody gave a value.

`small` is for a CPU and small data, `base` what configs/cub_cpu.yaml has at CUB's size, `published`
what CE-GZSL publishes for CUB (configs/cub.yaml). `auto` is `base` on a GPU with `LEAST_ROWS`
training rows or more, else `small`. How they were chosen: docs/data.md, "Sizes".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gzsl_dist.config.nested import flat, merge, nested
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.config.tree import Config

LEAST_ROWS = 2000


@dataclass(frozen=True)
class DataShape:
    """What a step's sizes depend on: seen classes, d_x, d_a and training rows."""

    seen_count: int
    feature_dim: int
    semantic_dim: int
    rows: int


@dataclass(frozen=True)
class Size:
    """How numbers follow from the data; widths and batches are powers of two.

    Attributes:
        width: hidden width of generator and critic, as a part of d_x.
        widths: its least and most.
        embedding, projection, comparator, prototype: the other widths, as parts of that one.
        batches: least and most rows of a batch, of which 8 are an epoch.
        steps: of a training.
        validations: in it.
        critic_steps: of each step.
        learning_rate: of both sides.
        noise: d_z; 0 is d_a.
    """

    width: float
    widths: tuple[int, int]
    embedding: float
    projection: float
    comparator: float
    prototype: float
    batches: tuple[int, int]
    steps: int
    validations: int
    critic_steps: int
    learning_rate: float
    noise: int


SIZES = {
    "small": Size(1 / 4, (128, 512), 4, 1 / 2, 1 / 2, 1, (32, 128), 200, 6, 2, 3e-4, 64),
    "base": Size(1 / 2, (256, 1024), 2, 1 / 2, 1, 1, (64, 256), 400, 8, 2, 3e-4, 64),
    "published": Size(
        1, (4096, 4096), 1 / 2, 1 / 8, 1 / 2, 1 / 4, (2048, 2048), 3000, 12, 5, 1e-4, 0
    ),
}


def sized(config: Config, shape: DataShape, device: str) -> Config:
    """The configuration with the numbers that its `size` means for the data; given ones stay.

    Without a `size`, or of a method without networks, it stays as it is.

    Args:
        config: as it was read.
        shape: of the data set.
        device: ``cpu`` or ``cuda``.
    """
    if config.size is None or config.method in BASELINES:
        return config
    size: str = config.size
    if size == "auto":
        size = "base" if device == "cuda" and shape.rows >= LEAST_ROWS else "small"
    given = config.model_dump(exclude_unset=True)
    values = nested(_values(SIZES[size], shape, flat(given)))
    return Config.model_validate(merge(merge(values, given), {"size": size}))


def told_size(config: Config) -> str:
    """What a size came to, for people; empty without one."""
    if config.size is None or config.method in BASELINES:
        return ""
    model, train = config.model, config.train
    return (
        f", size {config.size} (hidden {model.generator_hidden}, h {model.embedding_dim}, batch "
        f"{train.batch_size}, {train.steps} steps)"
    )


def left_to_size(config: Config) -> dict[str, set[str]]:
    """Names of settings, by section, that `size` will set once the data are known."""
    found: dict[str, set[str]] = {}
    if config.size is not None and config.method not in BASELINES:
        given = flat(config.model_dump(exclude_unset=True))
        for name in _values(SIZES["small"], DataShape(2, 1, 1, 1), given).keys() - given.keys():
            section, key = name.split(".")
            found.setdefault(section, set()).add(key)
    return found


def _values(size: Size, shape: DataShape, given: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted name; a given length of training is validated as often."""
    width = _power_of_two(shape.feature_dim * size.width, size.widths)
    noise = given.get("model.noise_dim", size.noise or shape.semantic_dim)
    values = {
        "data.semantics_norm": math.sqrt(noise),  # as loud as the noise
        "model.noise_dim": noise,
        "model.generator_hidden": width,
        "model.critic_hidden": width,
        "model.embedding_dim": round(width * size.embedding),
        "model.projection_dim": round(width * size.projection),
        "model.comparator_hidden": round(width * size.comparator),
        "model.prototype_hidden": round(width * size.prototype),
        "train.steps": size.steps,
        "train.batch_size": _power_of_two(shape.rows / 8, size.batches),
        "train.critic_steps": size.critic_steps,
        "train.learning_rate": size.learning_rate,
        "evaluation.every": math.ceil(given.get("train.steps", size.steps) / size.validations),
    }
    if given.get("evaluation.calibration", "validation") == "validation":
        values["evaluation.selection"] = "validation"
    return values


def _power_of_two(least: float, bounds: tuple[int, int]) -> int:
    """The next power of two, within bounds."""
    return min(max(1 << math.ceil(math.log2(max(least, 1))), bounds[0]), bounds[1])
