"""From `train.strategy` to the strategy."""

from __future__ import annotations

import os
import shutil

from gzsl_dist.config import TrainSettings
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import LocalStrategy, Strategy
from gzsl_dist.errors import InputError


def choose_strategy(settings: TrainSettings, processes: DistributedContext) -> Strategy:
    """The strategy that `train.strategy` names.

    Raises:
        InputError: it cannot work with this number of processes.
    """
    name = settings.strategy
    if processes.world_size > settings.batch_size:
        raise InputError(
            f"train.batch_size {settings.batch_size}: smaller than the {processes.world_size} "
            "processes; use fewer processes or a larger batch"
        )
    compiler = os.environ.get("CXX", "g++")
    if settings.compile and processes.device.type == "cpu" and not shutil.which(compiler):
        raise InputError(
            f"train.compile: no C++ compiler {compiler}; install one, name it by CXX, or use "
            "train.compile false"
        )
    if name == "deepspeed":
        from gzsl_dist.distributed.deepspeed_strategy import DeepSpeedStrategy

        return DeepSpeedStrategy(settings, processes)
    if name == "auto":
        name = "single" if processes.world_size == 1 else "ddp"
    if name == "single":
        if processes.world_size > 1:
            raise InputError(
                f"train.strategy: single cannot use {processes.world_size} processes; use ddp"
            )
        return LocalStrategy(clock=processes.clock)
    if processes.world_size == 1:
        raise InputError(
            "train.strategy: ddp needs processes; start with torchrun --nproc_per_node=2, "
            "or use auto"
        )
    return LocalStrategy(processes.world_size, processes.clock)
