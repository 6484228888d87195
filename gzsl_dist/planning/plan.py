"""A plan: what one process would hold, send and compute in a step."""

from __future__ import annotations

from dataclasses import dataclass

from gzsl_dist.config import Config
from gzsl_dist.config.sizes import DataShape
from gzsl_dist.errors import InputError
from gzsl_dist.planning.strategies import (
    STRATEGIES,
    Held,
    held,
    sent_by_critic_steps,
    sent_by_generator_step,
)
from gzsl_dist.planning.tracing import Sent, StepTrace, Traced, trace
from gzsl_dist.training import chunks


@dataclass(frozen=True)
class Plan:
    """Of the process with the largest share, at one number of processes.

    Attributes:
        world_size: W.
        rows: of the batch.
        critic_steps: critic steps in a whole step.
        traced: a critic step and a generator step.
        blocks: bytes of the largest similarity block of each loss, 0 for one without a weight. But
            for the comparator's, larger ones than a chunk (`gzsl_dist.training.chunks`) are never
            whole: some ten of a chunk's size are in memory while a loss is computed, none is kept.
        held: by strategy, for those that can work at this precision.
        critic_sent: what strategies send in all critic steps of a whole step.
        generator_sent: what they send in the generator step.
    """

    world_size: int
    rows: int
    critic_steps: int
    traced: Traced
    blocks: dict[str, int]
    held: dict[str, Held]
    critic_sent: dict[str, list[Sent]]
    generator_sent: dict[str, list[Sent]]

    @property
    def critic(self) -> StepTrace:
        """One critic step."""
        return self.traced.critic

    @property
    def generator(self) -> StepTrace:
        """One generator step."""
        return self.traced.generator

    def ring(self, sent: list[Sent] | tuple[Sent, ...], purpose: str = "") -> float:
        """Bytes that this process sends for these collectives, by the ring algorithm."""
        return sum(
            part.ring_bytes(self.world_size) for part in sent if purpose in ("", part.purpose)
        )

    def sent_in_critic_step(self, strategy: str) -> float:
        """Bytes, mean over the critic steps of a whole step."""
        own = self.ring(self.critic_sent[strategy]) / self.critic_steps
        return own + self.ring(self.critic.gathers)

    def sent_in_step(self, strategy: str) -> float:
        """Bytes of a whole step: all critic steps and the generator step."""
        generator = self.ring(self.generator_sent[strategy]) + self.ring(self.generator.gathers)
        return self.critic_steps * self.sent_in_critic_step(strategy) + generator

    @property
    def critic_step_flops(self) -> int:
        """Matrix FLOPs of a critic step, making its synthetic rows included."""
        return self.critic.matrix_flops + self.traced.fake_flops

    @property
    def step_flops(self) -> int:
        """Matrix FLOPs of a whole step."""
        return self.critic_steps * self.critic_step_flops + self.generator.matrix_flops

    @property
    def step_distance_flops(self) -> int:
        """Operations of the comparator's distances in a whole step."""
        return self.critic_steps * self.critic.distance_flops + self.generator.distance_flops


def make_plan(config: Config, shape: DataShape, world_size: int) -> Plan:
    """Plan a training on so many processes.

    Raises:
        InputError: more processes than rows of the batch.
    """
    check_world_size(config, world_size)
    whole = {"micro_batch_size": None, "compile": False}  # neither can be traced without values
    train = config.train.model_copy(update=whole)
    traced = trace(config.model_copy(update={"train": train}), shape, world_size)
    # DeepSpeed's optimizers work in float32.
    names = STRATEGIES[:1] if train.precision == "float64" else STRATEGIES
    steps = train.critic_steps
    return Plan(
        world_size=world_size,
        rows=-(-train.batch_size // world_size),
        critic_steps=steps,
        traced=traced,
        blocks=similarity_blocks(config, shape, world_size),
        held={name: held(name, traced, world_size) for name in names},
        critic_sent={name: sent_by_critic_steps(name, traced, steps, world_size) for name in names},
        generator_sent={name: sent_by_generator_step(name, traced, world_size) for name in names},
    )


def check_world_size(config: Config, world_size: int) -> None:
    """Refuse more processes than rows of the batch.

    Raises:
        InputError: there are.
    """
    batch = config.train.batch_size
    if world_size > batch:
        raise InputError(
            f"--plan.world-size {world_size}: larger than train.batch_size {batch}; every process "
            "needs a row: plan fewer processes or a larger batch"
        )


def similarity_blocks(config: Config, shape: DataShape, world_size: int) -> dict[str, int]:
    """Bytes of the blocks that the configured losses compute, by name and size."""
    batch, classes = config.train.batch_size, shape.seen_count
    size = 8 if config.train.precision == "float64" else 4  # losses are never in half precision
    critic, generator = config.loss.critic, config.loss.generator
    sample = config.loss.sampled_classes(classes)
    compared = 1 + sample if sample else classes

    def block(losses: list[str], rows: int, columns: int) -> int:
        return size * -(-rows // world_size) * columns if losses else 0

    largest = size * chunks.CHUNK
    return {
        "prototypes, C/W x B": min(block(critic.active("prototypes"), classes, batch), largest),
        "instances, critic, B/W x B": min(block(critic.active("rows"), batch, batch), largest),
        "instances, generator, 2B/W x 2B": min(
            block(generator.active("rows"), 2 * batch, 2 * batch), largest
        ),
        "comparator, B/W x C": block(critic.active("classes"), batch, compared),
    }
