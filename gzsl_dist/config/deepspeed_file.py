"""What DeepSpeed is asked for: by `train.zero_stage`, or by the file `train.deepspeed_config`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gzsl_dist.config.files import read_yaml
from gzsl_dist.config.train import TrainSettings

REDUCE_BUCKET = 20_000_000
"""Elements of the buffer that gradients are reduced in; DeepSpeed takes 5e8, 2 GB, by default."""


def deepspeed_options(settings: TrainSettings) -> tuple[dict[str, Any], str]:
    """The options, unchecked, and what they are called in errors.

    Raises:
        InputError: the file cannot be read, or is neither YAML nor JSON.
    """
    if settings.deepspeed_config is None:
        zero = {"stage": settings.zero_stage, "reduce_bucket_size": REDUCE_BUCKET}
        return {"zero_optimization": zero}, f"train.zero_stage {settings.zero_stage}"
    name = "train.deepspeed_config"
    remedy = f"give an existing file with --{name}, or leave it out and set --train.zero_stage"
    path = Path(settings.deepspeed_config)
    return read_yaml(path, name, remedy), f"{name} {path}"
