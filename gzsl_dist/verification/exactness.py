"""Gradients and negatives at this number of processes against one process."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from gzsl_dist.config import Config
from gzsl_dist.data.problem import Problem
from gzsl_dist.distributed.checkpoint import SavedState
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.distributed.strategies import MOMENTS, Strategy
from gzsl_dist.models.networks import Networks
from gzsl_dist.settings import SideWeights
from gzsl_dist.training.embedding_losses import batch_losses
from gzsl_dist.training.loop import Trainer
from gzsl_dist.verification.report import Check, gather_objects
from gzsl_dist.verification.small import alone, one_process, start_from

TOLERANCES = {"float32": 1e-5, "float64": 1e-10, "bfloat16": 2.0**-6}
"""Relative, in the norm of all of a parameter's gradient. bfloat16 keeps 8 bits, so each part of a
sum is off by up to 2^-9; the parts of processes partly cancel, hence a few bits more."""

SIDES = ("critic", "generator")
NEGATIVES_REMEDY = (
    "similarities are computed within processes only: use loss.negatives global, and an "
    "unmodified gzsl_dist.distributed.collectives"
)


def check_gradients(
    problem: Problem, config: Config, processes: Processes, strategy: Strategy, start: SavedState
) -> list[Check]:
    """Gradients of both sides' steps against one process with the whole global batch."""
    tolerance = TOLERANCES[config.train.precision]
    checks = []
    for side in SIDES:
        expected = processes.once(partial(_expected, side, problem, config, start, processes))
        found = _gradients(side, Trainer(problem, config, processes, strategy, start_from(start)))
        worst = gather_objects(processes, largest_error(found, expected))
        name, error = max(worst, key=lambda one: one[1])
        checks.append(
            Check(
                f"{side}'s gradients",
                error <= tolerance,
                f"relative error {error:.1e} ({name}), {tolerance:.0e} allowed; {strategy.name}, "
                f"{config.train.precision}",
                "this job would not train what one process trains: see the lines above and below, "
                "and use loss.negatives global",
            )
        )
    return checks


def _expected(
    side: str, problem: Problem, config: Config, start: SavedState, processes: Processes
) -> dict[str, Tensor]:
    reference = one_process(config)
    trainer = Trainer(problem, reference, *alone(processes.device), start_from(start))
    return _gradients(side, trainer)


def _gradients(side: str, trainer: Trainer) -> dict[str, Tensor]:
    """Adam's first moment after one step from zero moments holds the gradient, at any strategy."""
    if side == "critic":
        trainer.critic_step(0)
    else:
        trainer.generator_step(1)
    beta1 = trainer.config.train.beta1
    return {
        name: moments["exp_avg"].cpu() / (1 - beta1)
        for name, moments in trainer.sides[side].state_dict().items()
    }


def largest_error(found: dict[str, Tensor], expected: dict[str, Tensor]) -> tuple[str, float]:
    """The parameter with the largest relative error, and that error; NaN counts as infinite."""
    errors = {
        name: float((found[name].cpu() - value).norm() / value.norm().clamp_min(1e-12))
        for name, value in expected.items()
    }
    errors = {name: value if value == value else float("inf") for name, value in errors.items()}
    name = max(errors, key=lambda key: errors[key])
    return name, errors[name]


def check_negatives(networks: Networks, config: Config, processes: Processes) -> list[Check]:
    """Count the rows that move the instance loss of the first process's anchors.

    Only the first process's part of the loss is differentiated; where the gradient of a row is not
    zero, on whatever process it lies, the row was compared.
    """
    if not config.loss.critic.instance:
        return [Check("negatives", True, "no instance loss in this configuration")]
    batch = config.train.batch_size
    share = processes.share(batch)
    draw = torch.Generator().manual_seed(7)
    rows = torch.nn.functional.normalize(torch.randn(batch, 8, generator=draw), dim=1)
    own = rows[share].to(processes.device).requires_grad_(True)
    labels = (torch.arange(batch) % 2)[share].to(processes.device)
    instance = config.loss.instance.model_copy(update={"form": "supcon"})  # no pair has weight 0
    loss = config.loss.model_copy(update={"instance": instance})
    settings = config.model_copy(update={"loss": loss})
    losses = batch_losses(
        networks,
        settings,
        SideWeights(prototype=0.0, instance=1.0, comparator=0.0),
        processes,
        projected=own,
        labels=labels,
        semantics=own,
        move_means=False,
    )
    (losses["instance"] * float(processes.is_first)).backward()
    assert own.grad is not None
    compared = int(processes.add((own.grad.abs().sum(dim=1) > 0).sum()))
    return [
        Check(
            "negatives",
            compared == batch,
            f"an anchor is compared with {compared} of the {batch} rows of the global batch",
            NEGATIVES_REMEDY,
        )
    ]


def state_error(found: SavedState, expected: SavedState) -> float:
    """The largest relative error of weights and of Adam's moments."""
    errors = [largest_error(found.networks, expected.networks)[1]]
    for side, parameters in expected.optimizers.items():
        for key in MOMENTS:
            errors.append(
                largest_error(
                    {name: values[key] for name, values in found.optimizers[side].items()},
                    {name: values[key].cpu() for name, values in parameters.items()},
                )[1]
            )
    return max(errors)
