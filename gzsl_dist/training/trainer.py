"""One training step: critic steps and a generator step in turn, with all that they need."""

from __future__ import annotations

import torch
from torch import Tensor

from gzsl_dist.config import Config
from gzsl_dist.data.batches import Batch, BatchSource
from gzsl_dist.data.problem import Problem
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import Strategy
from gzsl_dist.errors import DivergedError
from gzsl_dist.models.networks import Networks, build_networks
from gzsl_dist.models.precision import network_dtype, network_precision
from gzsl_dist.training.anchor import fit_anchor
from gzsl_dist.training.averages import AveragedWeights
from gzsl_dist.training.embedding_losses import Losses
from gzsl_dist.training.objectives import CriticObjective, GeneratorObjective, frozen
from gzsl_dist.training.resume import Found, check_trained


class Trainer:
    """Networks, both sides and their batches; `train_step` is one step of the method.

    Args:
        problem: what is trained on.
        config: all settings.
        processes: the job.
        strategy: how the processes train together.
        found: a checkpoint to go on from, and what it holds.
        own: whether it is this training's own; else the anchor is fitted anew.
    """

    def __init__(
        self,
        problem: Problem,
        config: Config,
        processes: DistributedContext,
        strategy: Strategy,
        found: Found | None = None,
        *,
        own: bool = True,
    ) -> None:
        self.config, self.clock = config, processes.clock
        dtype = network_dtype(config.train.precision)
        self.semantics = problem.semantics[: problem.seen_count].to(processes.device, dtype)
        self.networks = networks_for(problem, config).to(processes.device)
        # both before the strategy takes the weights over
        if found is not None:
            checkpoint.restore(*found, self.networks)
        if found is None or not own:
            fit_anchor(self.networks, problem, config.model, processes)
        self.averages = None
        if config.train.ema is not None:
            saved = found[1].averages if found is not None else {}
            device = processes.device
            self.averages = AveragedWeights(
                config.train.ema, {name: value.to(device) for name, value in saved.items()}
            )
        self.problem = problem
        self.batches = batches_for(problem, config, processes)
        arguments = (self.networks, self.semantics, config, processes)
        self.critic_objective = CriticObjective(*arguments)
        objectives = {
            "critic": self.critic_objective,
            "generator": GeneratorObjective(*arguments),
        }
        if found is not None:
            check_trained(found, objectives)
        self.sides = {name: strategy.wrap(each, config.train) for name, each in objectives.items()}
        self.critic_side, self.generator_side = self.sides.values()
        if found is not None:
            for name, side in self.sides.items():
                side.load_state_dict(found[1].optimizers[name])

    def train_step(self, step: int) -> Losses:
        """Train critic and embedding on real rows, then the generator against both.

        Args:
            step: generator steps done before; with the seed, it decides rows and noise.

        Returns:
            This process's parts of all losses, by name.
        """
        critic_steps = self.config.train.critic_steps
        first_draw = step * (critic_steps + 1)
        for draw in range(first_draw, first_draw + critic_steps):
            critic_losses = self.critic_step(draw)
        generator_losses = self.generator_step(first_draw + critic_steps)
        if self.averages is not None:
            with self.clock.part("averages"):
                self.averages.update(self.weights(), step)
        return {f"critic/{name}": value for name, value in critic_losses.items()} | {
            f"generator/{name}": value for name, value in generator_losses.items()
        }

    def critic_step(self, draw: int) -> Losses:
        """Train critic, embedding, prototypes and comparator once, on the rows of a draw."""
        batch = self.draw(draw)
        return self.critic_side.step(batch, self.synthesize(batch))

    def generator_step(self, draw: int) -> Losses:
        """Train the generator once, on noise and labels of a draw."""
        batch = self.draw(draw)
        with frozen(self.critic_objective):
            return self.generator_side.step(batch)

    def draw(self, number: int) -> Batch:
        """This process's slots of a draw."""
        with self.clock.part("data"):
            return self.batches.batch(number)

    @torch.no_grad()
    def synthesize(self, batch: Batch) -> Tensor:
        """A synthetic row of the class of each slot, ``(slots, d_x)``, without gradient."""
        pieces = zip(
            torch.tensor_split(batch.noise, self.critic_objective.micro_batches),
            torch.tensor_split(batch.labels, self.critic_objective.micro_batches),
            strict=True,
        )
        precise = network_precision(self.config.train.precision, self.semantics.device)
        with self.clock.part("synthesis"), precise:
            return torch.cat(
                [self.networks.generator(noise, self.semantics, labels) for noise, labels in pieces]
            )

    def weights(self) -> dict[str, Tensor]:
        """Whole weights and buffers of both sides, whatever the strategy; all must call."""
        return self.critic_side.weights() | self.generator_side.weights()

    def consolidated_networks(self) -> Networks:
        """A copy of all networks as they are trained; all must call."""
        copy = networks_for(self.problem, self.config).to(self.semantics.device)
        # What no loss trains is missing from the sides' weights; it is still as it was drawn.
        copy.load_state_dict(self.weights(), strict=False)
        return copy

    def evaluated_networks(self) -> Networks:
        """A copy of all networks as they are evaluated, averaged if so configured; all call."""
        copy = self.consolidated_networks()
        if self.averages is not None:
            copy.load_state_dict(self.averages.values, strict=False)
        return copy

    def state(self, step: int, validation_h: float | None = None) -> checkpoint.SavedState:
        """All that a resumed training needs after `step` steps; every process must call.

        Raises:
            DivergedError: a weight is not finite.
        """
        networks = self.consolidated_networks().state_dict()
        for name, value in networks.items():
            if not value.isfinite().all():  # a gradient can overflow where no loss did
                raise DivergedError(
                    f"training diverged: weights {name} are not finite after step {step}; the "
                    "last good checkpoint is kept; try a lower --train.learning_rate"
                )
        optimizers = {name: side.state_dict() for name, side in self.sides.items()}
        averages = self.averages.values if self.averages is not None else {}
        return checkpoint.SavedState(step, networks, optimizers, validation_h, averages)

    def close(self) -> None:
        """Free what both sides hold; the training that follows needs as much."""
        for side in self.sides.values():
            side.close()


def networks_for(problem: Problem, config: Config) -> Networks:
    """Networks of the configured sizes for a problem."""
    return build_networks(
        config,
        feature_dim=problem.feature_dim,
        semantic_dim=problem.semantic_dim,
        seen_count=problem.seen_count,
    )


def batches_for(problem: Problem, config: Config, processes: DistributedContext) -> BatchSource:
    """This process's slots of the batches that a problem is trained on."""
    sample = config.loss.sampled_classes(problem.seen_count)
    return BatchSource(
        problem.train,
        batch_size=config.train.batch_size,
        slots=processes.shard(config.train.batch_size),
        noise_dim=config.model.noise_dim,
        seed=config.train.seed,
        device=processes.device,
        dtype=network_dtype(config.train.precision),
        sample=(sample, problem.seen_count) if sample else None,
    )
