"""Training by DeepSpeed, ZeRO stage 0 to 3 (Rajbhandari et al., SC 2020)."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from pydantic import ValidationError
from torch import Tensor, nn

from gzsl_dist.config import TrainSettings
from gzsl_dist.config.deepspeed_file import deepspeed_options
from gzsl_dist.distributed import launch_environment
from gzsl_dist.distributed.processes import DistributedContext, collective_backend
from gzsl_dist.distributed.strategies import (
    MOMENTS,
    STEP,
    Engine,
    LocalEngine,
    OptimizerState,
    trained_parameters,
)
from gzsl_dist.errors import InputError

ALLOWED = ("zero_optimization", "comms_logger", "wall_clock_breakdown")
"""What a DeepSpeed file may set; batch, optimizer and precision come from the run's settings."""


class DeepSpeedStrategy:
    """DeepSpeed engines with the ZeRO stage of the settings.

    Raises:
        InputError: DeepSpeed is not installed, or the file or the precision does not fit.
    """

    def __init__(self, settings: TrainSettings, processes: DistributedContext) -> None:
        if processes.device.type == "cpu":
            os.environ.setdefault("DS_ACCELERATOR", "cpu")
        os.environ.setdefault("LOCAL_RANK", str(launch_environment.local_rank()))
        try:
            import deepspeed
        except ImportError:
            raise InputError(
                "train.strategy deepspeed: DeepSpeed is not installed; "
                "pip install 'gzsl_dist[deepspeed]'"
            ) from None
        if settings.precision == "float64":
            raise InputError(
                "train.precision float64: DeepSpeed's optimizers work in float32; add "
                "--train.precision float32 (the digits' own settings say float64)"
            )
        self.file = checked_options(settings)
        self.stage: int = self.file["zero_optimization"]["stage"]
        if self.stage == 3 and settings.compile:
            raise InputError(
                "train.compile: ZeRO 3 changes weights while they are used, which torch.compile "
                "cannot follow; use ZeRO 2, or train.compile false"
            )
        self.name = f"deepspeed, ZeRO {self.stage}"
        self.processes = processes
        deepspeed.utils.logger.setLevel(logging.ERROR)
        # It calls collectives by names that torch 2.13 has renamed.
        warnings.filterwarnings("ignore", "`torch.distributed", FutureWarning)
        # On CPUs DeepSpeed would compile a shared-memory all-reduce at every start, which needs a
        # compiler, and whose processes wait for ever for one that died: gloo has a time-out.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        if not dist.is_initialized():  # DeepSpeed wants a group even for one process
            rendezvous = (Path(tempfile.mkdtemp()) / "rendezvous").as_uri()
            backend = collective_backend(processes.device)
            dist.init_process_group(backend, init_method=rendezvous, rank=0, world_size=1)

    def wrap(self, objective: nn.Module, settings: TrainSettings) -> Engine:
        """See `gzsl_dist.distributed.strategies.Strategy`."""
        return DeepSpeedTrainable(objective, settings, self.file, self.processes)


class DeepSpeedTrainable(LocalEngine):
    """An objective in a DeepSpeed engine, which averages gradients over processes as DDP does.

    Adam is torch's own: DeepSpeed's for CPUs differs in rounding.
    """

    optimizer: Any

    def __init__(
        self,
        objective: nn.Module,
        settings: TrainSettings,
        file: dict[str, Any],
        processes: DistributedContext,
    ) -> None:
        import deepspeed

        self.world_size, self.clock = processes.world_size, processes.clock
        self.plain = self.objective = objective
        self.parameters = trained_parameters(objective)
        self.stage: int = file["zero_optimization"]["stage"]
        adam = {
            "lr": settings.learning_rate,
            "betas": [settings.beta1, settings.beta2],
            "torch_adam": True,
            "adam_w_mode": False,
            "fused": True,
        }
        options = {
            "train_micro_batch_size_per_gpu": 1,  # only DeepSpeed's own data loaders read it
            "optimizer": {"type": "Adam", "params": adam},
            "gradient_clipping": 0.0,  # DeepSpeed clips to norm 1 unless told not to
            "zero_allow_untested_optimizer": True,
            "steps_per_print": 10**9,
            **file,
        }
        self.engine, self.optimizer, *_ = deepspeed.initialize(
            model=objective,
            model_parameters=list(self.parameters.values()),
            config=options,
            dist_init_required=False,
        )

    def step(self, *inputs: Any) -> dict[str, Tensor]:
        """See `Engine`."""
        with self.clock.part("forward"):
            loss, parts = self.engine(*inputs)
        with self.clock.part("backward"):
            self.engine.backward(loss * self.world_size)
        with self.clock.part("optimizer"):
            self.engine.step()
        result: dict[str, Tensor] = parts
        return result

    def weights(self) -> dict[str, Tensor]:
        """See `Engine`."""
        if self.stage < 3:
            return super().weights()
        from deepspeed.utils import safe_get_full_fp32_param

        whole = {
            name: safe_get_full_fp32_param(parameter) for name, parameter in self.parameters.items()
        }
        return whole | dict(self.objective.named_buffers())

    def state_dict(self) -> OptimizerState:
        """See `Engine`."""
        from deepspeed.utils import safe_get_full_optimizer_state

        if self.stage == 0:
            return super().state_dict()
        steps = next(iter(self._adam.state.values()))[STEP]
        return {
            name: {
                STEP: steps.clone(),
                **{key: safe_get_full_optimizer_state(parameter, key) for key in MOMENTS},
            }
            for name, parameter in self.parameters.items()
        }

    def load_state_dict(self, state: OptimizerState) -> None:
        """See `Engine`."""
        if self.stage == 0:
            return super().load_state_dict(state)
        steps = next(iter(state.values()))[STEP]
        # ZeRO makes its states, flat and partitioned, in the first step; make them now, to fill.
        flat_parts = (
            self.optimizer.fp32_partitioned_groups_flat
            if self.stage == 3
            else [flat for group in self._adam.param_groups for flat in group["params"]]
        )
        for flat in flat_parts:
            moments = {key: torch.zeros_like(flat) for key in MOMENTS}
            # also the step: a fused kernel of a GPU reads it there
            self._adam.state[flat] = {STEP: steps.to(flat.device, copy=True), **moments}
        if self.stage < 3:
            # private; without it ZeRO 1 and 2 know their parts of the moments after a step only
            self.optimizer._lazy_init_hp_params_optimizer_state()
        for name, parameter in self.parameters.items():
            for key in MOMENTS:
                self._fill(parameter, state[name][key], key)

    def close(self) -> None:
        """See `Engine`."""
        self.engine.destroy()
        if self.stage < 3:
            return
        # Hooks that its modules do not list keep the engine alive; what it holds is large.
        self._adam.state.clear()
        for value in (*self.parameters.values(), *vars(self.optimizer).values()):
            _free(value)

    @property
    def _adam(self) -> torch.optim.Optimizer:
        adam: torch.optim.Optimizer = self.optimizer.optimizer
        return adam

    def _fill(self, parameter: Any, value: Tensor, key: str) -> None:
        from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

        value = value.to(parameter.device)
        if self.stage < 3:
            safe_set_full_optimizer_state(parameter, value, key)
            return
        size = parameter.ds_tensor.numel()  # of one process's part, the last one padded
        padded = torch.zeros(size * self.world_size, dtype=value.dtype, device=value.device)
        padded[: value.numel()] = value.flatten()
        rank = dist.get_rank()
        safe_set_local_optimizer_state(parameter, padded[rank * size : (rank + 1) * size], key)


def _free(value: object) -> None:
    """Give back the memory of a tensor, of ZeRO's part of it, or of all in lists and dicts."""
    if isinstance(value, Tensor):
        value.untyped_storage().resize_(0)
        _free(getattr(value, "ds_tensor", None))
    elif isinstance(value, list | tuple):
        for each in value:
            _free(each)
    elif isinstance(value, dict):
        _free(list(value.values()))


def checked_options(settings: TrainSettings) -> dict[str, Any]:
    """Read and check what DeepSpeed is asked for.

    Raises:
        InputError: it cannot be read, sets what the run's settings decide, or ZeRO is unknown.
    """
    file, where = deepspeed_options(settings)
    for key in file:
        if key not in ALLOWED:
            raise InputError(
                f"{where}: unknown key {key}; allowed are {', '.join(ALLOWED)}, the rest comes "
                "from the run's settings"
            )
    zero = file.setdefault("zero_optimization", {})
    if not isinstance(zero, dict):
        raise InputError(f"{where}: zero_optimization must hold lines such as 'stage: 2'")
    stage = zero.setdefault("stage", 0)
    if stage not in (0, 1, 2, 3):
        raise InputError(f"{where}: ZeRO stage {stage}: must be 0, 1, 2 or 3")
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    fields = DeepSpeedZeroConfig.model_fields
    known = fields.keys() | {field.alias for field in fields.values()}  # such as stage3_...
    for key in zero:
        if key not in known:
            raise InputError(f"{where}: unknown key zero_optimization.{key}; drop it")
    try:
        DeepSpeedZeroConfig(**zero)
    except ValidationError as error:
        wrong = error.errors()[0]
        key = ".".join(map(str, ("zero_optimization", *wrong["loc"])))
        raise InputError(f"{where}: {key} = {wrong['input']!r}: {wrong['msg']}") from None
    return file
