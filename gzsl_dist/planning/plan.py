"""A plan: what one process would hold, send and compute in a step."""

from __future__ import annotations

from dataclasses import dataclass

from gzsl_dist.config import Config
from gzsl_dist.errors import InputError
from gzsl_dist.planning.shapes import DataShape
from gzsl_dist.planning.strategies import (
    STRATEGIES,
    Held,
    held,
    reduce_bucket,
    sent_by_critic_steps,
    sent_by_generator_step,
)
from gzsl_dist.planning.tracing import Sent, StepTrace, trace
from gzsl_dist.training import chunks


@dataclass(frozen=True)
class Blocks:
    """Bytes of the largest similarity block of each loss.

    But for the comparator's, blocks above a chunk's size are never whole: about ten of a chunk's
    size (`gzsl_dist.training.chunks`) are in memory while a loss is computed, and none are kept.

    Attributes:
        prototypes: ``classes/W x batch``, both sides.
        critic_instances: ``batch/W x batch``, real rows.
        generator_instances: ``2 batch/W x 2 batch``, synthetic and real rows.
        comparator: ``batch/W x classes``, both sides.
    """

    prototypes: int
    critic_instances: int
    generator_instances: int
    comparator: int


@dataclass(frozen=True)
class Plan:
    """Of the process with the largest share, at one number of processes.

    Attributes:
        world_size: W.
        rows: of the batch.
        held: bytes by strategy.
        blocks: similarity blocks.
        critic: one critic step.
        generator: one generator step.
        critic_steps: critic steps in a whole step.
        fake_flops: matrix FLOPs of making a critic step's synthetic rows.
        critic_sent: what the strategies send in all critic steps of a whole step.
        generator_sent: what they send in the generator step.
    """

    world_size: int
    rows: int
    held: dict[str, Held]
    blocks: Blocks
    critic: StepTrace
    generator: StepTrace
    critic_steps: int
    fake_flops: int
    critic_sent: dict[str, list[Sent]]
    generator_sent: dict[str, list[Sent]]

    @property
    def strategies(self) -> list[str]:
        """Those that can work at this precision."""
        return list(self.held)

    def ring(self, sent: list[Sent] | tuple[Sent, ...], purpose: str = "") -> float:
        """Bytes that this process sends for these collectives, by the ring algorithm."""
        return sum(
            part.ring_bytes(self.world_size)
            for part in sent
            if purpose in ("", f"{part.purpose} {part.collective}", part.purpose)
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
        return self.critic.matrix_flops + self.fake_flops

    @property
    def step_flops(self) -> int:
        """Matrix FLOPs of a whole step."""
        return self.critic_steps * self.critic_step_flops + self.generator.matrix_flops

    @property
    def step_distance_flops(self) -> int:
        """Operations of the comparator's distances in a whole step."""
        return self.critic_steps * self.critic.distance_flops + self.generator.distance_flops


def make_plan(config: Config, shape: DataShape, world_size: int) -> Plan:
    """Plan a training.

    Args:
        config: all settings.
        shape: of the data set.
        world_size: number of processes.

    Raises:
        InputError: more processes than rows of the batch.
    """
    check_world_size(config, world_size)
    batch = config.train.batch_size
    whole = {"micro_batch_size": None, "compile": False}  # neither can be traced without values
    train = config.train.model_copy(update=whole)
    traced = trace(config.model_copy(update={"train": train}), shape, world_size)
    # DeepSpeed's optimizers work in float32.
    names = STRATEGIES[:1] if config.train.precision == "float64" else STRATEGIES
    steps = config.train.critic_steps
    bucket = reduce_bucket(config.train)
    return Plan(
        world_size=world_size,
        rows=share(batch, world_size),
        held={
            name: held(name, traced, world_size, bucket) + Held(traced.averages, 0, 0)
            for name in names
        },
        blocks=similarity_blocks(config, shape, world_size),
        critic=traced.critic,
        generator=traced.generator,
        critic_steps=steps,
        fake_flops=traced.fake_flops,
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


def similarity_blocks(config: Config, shape: DataShape, world_size: int) -> Blocks:
    """Bytes of the blocks that the configured losses compute, 0 where they have no weight."""
    batch, classes = config.train.batch_size, shape.seen_count
    size = 8 if config.train.precision == "float64" else 4  # losses are never in half precision
    critic, generator = config.loss.critic, config.loss.generator

    def block(weight: float | None, rows: int, columns: int) -> int:
        anchors = share(rows, world_size) if weight else 0
        return size * min(anchors * columns, chunks.CHUNK)

    return Blocks(
        prototypes=block(critic.prototype, classes, batch),
        critic_instances=block(critic.instance, batch, batch),
        generator_instances=block(generator.instance, 2 * batch, 2 * batch),
        comparator=size * bool(critic.comparator) * share(batch, world_size) * classes,
    )


def share(total: int, world_size: int) -> int:
    """The largest share of `total` things."""
    return -(-total // world_size)
