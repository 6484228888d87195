"""Gradients and negatives of this job, against one process that holds the whole batch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import normalize

from gzsl_dist.config import LOSSES, Config
from gzsl_dist.config.nested import merge
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import Engine
from gzsl_dist.models.networks import build_networks
from gzsl_dist.models.precision import network_dtype, network_precision
from gzsl_dist.training.anchor import fit_anchor
from gzsl_dist.training.embedding_losses import EmbeddingLosses
from gzsl_dist.training.objectives import CriticObjective, GeneratorObjective, frozen
from gzsl_dist.training.trainer import batches_for, networks_for
from gzsl_dist.verification.check import Check, Session, largest
from gzsl_dist.verification.small import small_config

TOLERANCE = {"float64": 1e-10, "float32": 1e-5, "bfloat16": 1.5e-2}
"""Relative difference of gradients. In bfloat16, products of other shapes round to other digits
(8 bits), and the gradient of a sum of them differs by some of these."""

FLOOR = 1e-3  # of the largest gradient: smaller ones are compared with this

Gradients = dict[str, Tensor]


def gradients(session: Session) -> Iterator[Check]:
    """Every parameter's gradient of both sides, by this job and by one process."""
    processes, small = session.processes, session.small
    config, strategy = small.config, small.strategy
    one = {"loss": {"negatives": "global"}, "train": {"strategy": "single"}}
    whole = Config.model_validate(merge(config.model_dump(), one))
    alone = Session(whole, DistributedContext(0, 1, processes.device), session.scratch)
    found, expected = both_sides(small), both_sides(alone)
    tolerance = TOLERANCE[config.train.precision]
    for side in found:
        worst, name = difference(found[side], expected[side])
        worst = largest(processes, worst)
        yield Check(
            f"gradients, {side}",
            worst <= tolerance,
            f"{len(found[side])} parameters within {worst:.1e} of one process "
            f"({strategy.name}, {config.train.precision}, at most {tolerance:.0e})",
            f"worst: {name}; this installation does not train what one process trains: see "
            "loss.negatives, and compare versions and devices of the processes",
        )


def both_sides(small: Session) -> dict[str, Gradients]:
    """Gradients of the critic's and of the generator's first step."""
    problem, config, processes = small.problem, small.config, small.processes
    batches = batches_for(problem, config, processes)
    found = {}
    for side in ("critic", "generator"):  # each from the same start: a step changes the weights
        dtype = network_dtype(config.train.precision)
        networks = networks_for(problem, config).to(dtype)
        draw = torch.Generator().manual_seed(5)
        for parameter in networks.parameters():  # away from the small start, where all is alike
            noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
            parameter.data.add_(0.1 * noise.to(dtype))
        networks.to(processes.device)
        fit_anchor(networks, problem, config.model, processes)
        semantics = problem.semantics[: problem.seen_count].to(processes.device, dtype)
        arguments = (networks, semantics, config, processes)
        critic_objective = CriticObjective(*arguments)
        critic = small.strategy.wrap(critic_objective, config.train)
        generator = small.strategy.wrap(GeneratorObjective(*arguments), config.train)
        if side == "critic":
            batch = batches.batch(0)
            with torch.no_grad(), network_precision(config.train.precision, processes.device):
                fake = networks.generator(batch.noise, semantics, batch.labels)
            critic.step(batch, fake)
        else:
            with frozen(critic_objective):
                generator.step(batches.batch(1))
        found[side] = first_gradients(critic if side == "critic" else generator, config.train.beta1)
        critic.close()
        generator.close()
    return found


def first_gradients(side: Engine, beta1: float) -> Gradients:
    """After one step, Adam's first moment is the gradient, whole at any strategy."""
    return {
        name: moments["exp_avg"].double().cpu() / (1 - beta1)
        for name, moments in side.state_dict().items()
    }


def difference(found: Gradients, expected: Gradients) -> tuple[float, str]:
    """The largest relative difference of a tensor, and its name."""
    if found.keys() != expected.keys():
        return math.inf, ", ".join(sorted(found.keys() ^ expected.keys()))
    floor = FLOOR * max((float(value.norm()) for value in expected.values()), default=1.0)
    worst = (0.0, "none")
    for name, value in expected.items():
        error = float((found[name] - value).norm() / max(float(value.norm()), floor, 1e-30))
        worst = max(worst, (error if error == error else math.inf, name))
    return worst


def negatives(session: Session) -> Iterator[Check]:
    """How many rows an instance is compared with, read off the instance loss.

    One class has two rows, the first and the last slot of the batch, so on other processes; all
    others have one. With equal similarities to N negatives the loss is log(1 + N k), and k is what
    a batch with one negative has.
    """
    config, processes = session.config, session.processes
    batch = config.train.batch_size
    known = _instance_loss(config, DistributedContext(0, 1, processes.device), 3)
    found = math.expm1(_instance_loss(config, processes, batch)) / math.expm1(known)
    expected = batch - 2
    yield Check(
        "negatives",
        abs(found - expected) < 0.01 * expected + 0.01,
        f"{found:.1f} of {expected} rows of the global batch of {batch}",
        "rows are not compared over processes: see loss.negatives",
    )


def _instance_loss(config: Config, processes: DistributedContext, batch: int) -> float:
    only = {**dict.fromkeys(LOSSES, 0.0), "instance": 1.0}
    given = {
        "train": {"batch_size": batch},
        "loss": {
            "critic": only,
            "generator": only,
            "instance": {"form": "fixed", "scale": 1.0, "margin": 0.1},
        },
    }
    config = Config.model_validate(merge(config.model_dump(), given))
    labels = torch.arange(batch)
    labels[-1] = 0
    # all rows alike: the loss depends on their numbers alone
    rows = normalize(torch.ones(batch, 4, dtype=torch.float64), dim=1)
    local = processes.shard(batch)
    # none of them is used by the instance loss alone
    networks = build_networks(small_config(config, 1), feature_dim=1, semantic_dim=1, seen_count=1)
    semantics = torch.empty(0, 0, device=processes.device)
    losses = EmbeddingLosses(networks, semantics, config, processes, "generator")
    parts = losses.of_batch(rows[local].to(processes.device), labels[local].to(processes.device))
    return float(processes.all_reduce_sum(parts["instance"].detach().double()))
