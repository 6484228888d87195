"""Gradients and negatives of this job, against one process that holds the whole batch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import normalize

from gzsl_dist.config import Config
from gzsl_dist.data.batches import BatchSource
from gzsl_dist.data.load import load_dataset
from gzsl_dist.data.problem import Problem, final_problem
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.distributed.strategies import SingleStrategy, Strategy, Trainable, choose_strategy
from gzsl_dist.nested import merge
from gzsl_dist.precision import network_dtype, network_precision
from gzsl_dist.settings import EMBEDDED, SideWeights
from gzsl_dist.training.embedding_losses import batch_losses
from gzsl_dist.training.loop import networks_for
from gzsl_dist.training.objectives import CriticObjective, GeneratorObjective, frozen
from gzsl_dist.verification.check import Check, Session, largest

TOLERANCE = {"float64": 1e-10, "float32": 1e-5, "bfloat16": 1.5e-2}
"""Relative difference of gradients. In bfloat16, products of other shapes round to other digits
(8 bits), and the gradient of a sum of them differs by some of these."""

SMALL = {
    "noise_dim": 16,
    "generator_hidden": 64,
    "critic_hidden": 64,
    "embedding_dim": 32,
    "projection_dim": 16,
    "comparator_hidden": 16,
    "prototype_hidden": 16,
}
LARGEST_BATCH = 96
FLOOR = 1e-3  # of the largest gradient: smaller ones are compared with this

Gradients = dict[str, Tensor]


def small_config(config: Config, world_size: int) -> Config:
    """The user's method, losses, strategy and precision on the embedded data, networks small."""
    batch = max(min(config.train.batch_size, LARGEST_BATCH), 2 * world_size + 1)
    small = {
        "data": {"path": EMBEDDED},
        "model": SMALL,
        "train": {"batch_size": batch, "micro_batch_size": None, "compile": False, "seed": 1},
        "evaluation": {"selection": "fixed", "calibration": "none", "rows_per_class": 20},
    }
    return Config.model_validate(merge(config.model_dump(), small))


def small_problem(config: Config) -> tuple[Problem, str]:
    """The embedded data set's problem, and its fingerprint."""
    dataset = load_dataset(EMBEDDED)
    return final_problem(dataset, config), dataset.fingerprint


def gradients(session: Session) -> Iterator[Check]:
    """Every parameter's gradient of both sides, by this job and by one process."""
    processes = session.processes
    config = small_config(session.config, processes.world_size)
    strategy = processes.together(lambda: choose_strategy(config.train, processes))
    problem, _ = small_problem(config)
    alone = Processes(0, 1, processes.device)
    globally = merge(config.model_dump(), {"loss": {"negatives": "global"}})
    found = both_sides(problem, config, processes, strategy)
    expected = both_sides(problem, Config.model_validate(globally), alone, SingleStrategy())
    tolerance = TOLERANCE[config.train.precision]
    for side, ours, theirs in zip(("critic", "generator"), found, expected, strict=True):
        worst, name = difference(ours, theirs)
        worst = largest(processes, worst)
        holds = worst <= tolerance
        yield Check(
            f"gradients, {side}",
            holds,
            f"{len(ours)} parameters within {worst:.1e} of one process "
            f"({strategy.name}, {config.train.precision}, at most {tolerance:.0e})",
            ""
            if holds
            else f"worst: {name}; this installation does not train what one process trains: see "
            "loss.negatives, and compare versions and devices of the processes",
        )


def both_sides(
    problem: Problem, config: Config, processes: Processes, strategy: Strategy
) -> list[Gradients]:
    """Gradients of the critic's and of the generator's first step."""
    found = []
    for side in ("critic", "generator"):  # each from the same start: a step changes the weights
        dtype = network_dtype(config.train.precision)
        networks = networks_for(problem, config).to(dtype)
        draw = torch.Generator().manual_seed(5)
        for parameter in networks.parameters():  # away from the small start, where all is alike
            noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
            parameter.data.add_(0.1 * noise.to(dtype))
        networks.to(processes.device)
        semantics = problem.semantics[: problem.seen_count].to(processes.device, dtype)
        batches = BatchSource(
            problem.train,
            batch_size=config.train.batch_size,
            slots=processes.share(config.train.batch_size),
            noise_dim=config.model.noise_dim,
            seed=config.train.seed,
            device=processes.device,
            dtype=dtype,
        )
        arguments = (networks, semantics, config, processes)
        critic_objective = CriticObjective(*arguments)
        critic = strategy.wrap(critic_objective, config.train)
        generator = strategy.wrap(GeneratorObjective(*arguments), config.train)
        if side == "critic":
            batch = batches.batch(0)
            with torch.no_grad(), network_precision(config.train.precision, processes.device):
                fake = networks.generator(batch.noise, semantics, batch.labels)
            critic.step(batch, fake)
            found.append(first_gradients(critic, config))
        else:
            with frozen(critic_objective):
                generator.step(batches.batch(1))
            found.append(first_gradients(generator, config))
        critic.close()
        generator.close()
    return found


def first_gradients(side: Trainable, config: Config) -> Gradients:
    """After one step, Adam's first moment is the gradient, whole at any strategy."""
    return {
        name: moments["exp_avg"].double().cpu() / (1 - config.train.beta1)
        for name, moments in side.state_dict().items()
    }


def difference(ours: Gradients, theirs: Gradients) -> tuple[float, str]:
    """The largest relative difference of a tensor, and its name."""
    if ours.keys() != theirs.keys():
        return math.inf, ", ".join(sorted(ours.keys() ^ theirs.keys()))
    floor = FLOOR * max((float(value.norm()) for value in theirs.values()), default=1.0)
    worst = (0.0, "none")
    for name, value in theirs.items():
        error = float((ours[name] - value).norm() / max(float(value.norm()), floor, 1e-30))
        worst = max(worst, (error if error == error else math.inf, name))
    return worst


def negatives(session: Session) -> Iterator[Check]:
    """How many rows an instance is compared with, read off the instance loss.

    One class has two rows, the first and the last slot of the batch, so on other processes; all
    others have one. With equal similarities to N negatives the loss is log(1 + N k), and k is what
    a batch with one negative has.
    """
    processes = session.processes
    batch = session.config.train.batch_size
    found = effective_negatives(session.config, processes, batch)
    expected = batch - 2
    holds = abs(found - expected) < 0.01 * expected + 0.01
    yield Check(
        "negatives",
        holds,
        f"{found:.1f} of {expected} rows of the global batch of {batch}",
        "" if holds else "rows are not compared over processes: see loss.negatives",
    )


def effective_negatives(config: Config, processes: Processes, batch: int) -> float:
    """N of `negatives`, at a global batch of so many rows."""
    known = _instance_loss(config, Processes(0, 1, processes.device), 3)
    loss = _instance_loss(config, processes, batch)
    return math.expm1(loss) / math.expm1(known)


def _instance_loss(config: Config, processes: Processes, batch: int) -> float:
    small = merge(
        config.model_dump(),
        {
            "train": {"batch_size": batch},
            "loss": {"instance": {"form": "fixed", "scale": 1.0, "margin": 0.1}},
        },
    )
    config = Config.model_validate(small)
    labels = torch.arange(batch)
    labels[-1] = 0
    # all rows alike: the loss depends on their numbers alone
    rows = normalize(torch.ones(batch, 4, dtype=torch.float64), dim=1)
    mine = processes.share(batch)
    parts = batch_losses(
        networks_for(small_problem(config)[0], small_config(config, 1)),
        config,
        SideWeights(prototype=0.0, instance=1.0, comparator=0.0),
        processes,
        projected=rows[mine].to(processes.device),
        labels=labels[mine].to(processes.device),
        semantics=torch.empty(0, 0, device=processes.device),
        move_means=False,
    )
    return float(processes.add(parts["instance"].detach().double()))
