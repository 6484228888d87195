"""How an objective is trained by the processes of a job."""

from __future__ import annotations

from inspect import signature
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gzsl_dist.config import TrainSettings
from gzsl_dist.distributed.stopwatch import Stopwatch

STEP = "step"
MOMENTS = ("exp_avg", "exp_avg_sq")

# torch 2.13 renamed the option; older ones have the former name only.
SYNC_BUFFERS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in signature(DistributedDataParallel.__init__).parameters
    else "broadcast_buffers"
)


OptimizerState = dict[str, dict[str, Tensor]]
"""Adam's ``step``, ``exp_avg`` and ``exp_avg_sq`` by parameter name, whole, for any strategy."""


class Engine(Protocol):
    """One objective with its optimizer, as the training loop sees it."""

    def step(self, *inputs: Any) -> dict[str, Tensor]:
        """One forward, one backward and one optimizer step; the parts of the loss, detached."""

    def weights(self) -> dict[str, Tensor]:
        """Trained parameters and buffers, whole, by name; every process must call."""

    def state_dict(self) -> OptimizerState:
        """The optimizer's state; every process must call."""

    def load_state_dict(self, state: OptimizerState) -> None:
        """Restore `state_dict`, made by any strategy at any number of processes."""

    def close(self) -> None:
        """Let go of weights and moments; neither this nor the objective is used after."""


class Strategy(Protocol):
    """One way to train objectives: on one process, by DDP, and so on."""

    name: str

    def wrap(self, objective: nn.Module, settings: TrainSettings) -> Engine:
        """Give an objective an optimizer and what it needs to be trained together."""


class LocalEngine:
    """An objective with Adam, alone or under DDP.

    DDP averages gradients over processes; the loss is multiplied by their number, so that the
    average becomes the sum of the parts' gradients, which is that of the whole loss.

    Args:
        objective: returns ``(this process's part of the loss, parts)``.
        settings: the optimizer's.
        world_size: None: no DDP.
        clock: where the time goes.
    """

    def __init__(
        self,
        objective: nn.Module,
        settings: TrainSettings,
        world_size: int | None = None,
        clock: Stopwatch | None = None,
    ) -> None:
        self.clock = clock or Stopwatch()
        self.parameters = trained_parameters(objective)
        self.world_size = world_size or 1
        self.plain = self.objective = objective
        if world_size is not None:
            options: dict[str, Any] = {SYNC_BUFFERS: False, "gradient_as_bucket_view": True}
            self.objective = DistributedDataParallel(objective, **options)
        self.optimizer = torch.optim.Adam(
            self.parameters.values(),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            fused=True,  # one pass over memory instead of ten
        )

    def step(self, *inputs: Any) -> dict[str, Tensor]:
        """See `Engine`."""
        with self.clock.part("forward"):
            loss, parts = self.objective(*inputs)
        with self.clock.part("backward"):
            self.optimizer.zero_grad(set_to_none=True)
            (loss * self.world_size).backward()
        with self.clock.part("optimizer"):
            self.optimizer.step()
        result: dict[str, Tensor] = parts
        return result

    def weights(self) -> dict[str, Tensor]:
        """See `Engine`."""
        return self.plain.state_dict()

    def state_dict(self) -> OptimizerState:
        """See `Engine`."""
        state = self.optimizer.state
        return {
            name: {key: state[parameter][key] for key in (STEP, *MOMENTS)}
            for name, parameter in self.parameters.items()
        }

    def load_state_dict(self, state: OptimizerState) -> None:
        """See `Engine`."""
        for name, parameter in self.parameters.items():
            self.optimizer.state[parameter] = adam_state(state[name], parameter)

    def close(self) -> None:
        """See `Engine`. All is freed with the last reference."""


def adam_state(saved: dict[str, Tensor], parameter: Tensor) -> dict[str, Tensor]:
    """A parameter's state in `OptimizerState`, copied to where the parameter is.

    The step too, in its own type: a fused kernel of a GPU reads it there.
    """
    moments = {key: saved[key].to(parameter, copy=True) for key in MOMENTS}
    return {STEP: saved[STEP].to(parameter.device, copy=True), **moments}


def trained_parameters(objective: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that an objective trains, by name."""
    return {
        name: parameter
        for name, parameter in objective.named_parameters()
        if parameter.requires_grad
    }


class LocalStrategy:
    """One process, or DDP: all hold all parameters, gradients are summed while they are computed.

    Buffers are not broadcast: they are computed alike everywhere.
    """

    def __init__(self, world_size: int | None = None, clock: Stopwatch | None = None) -> None:
        self.name = "single" if world_size is None else "ddp"
        self.world_size, self.clock = world_size, clock

    def wrap(self, objective: nn.Module, settings: TrainSettings) -> Engine:
        """See `Strategy`."""
        return LocalEngine(objective, settings, self.world_size, self.clock)
