"""What each strategy holds and sends, from the sizes of the parameters.

DDP as PyTorch does it; ZeRO as DeepSpeed 0.19 does it with weights in float32 (measured, see
`tests/distributed/test_plan.py`), which is more than the ZeRO paper's sums:

- ZeRO 1 to 3 keep a master copy of the partition, though the weights are float32 themselves.
- ZeRO 1 and 2 all-reduce the gradients (`use_multi_rank_bucket_allreduce`) instead of scattering
  the sums, and keep the whole gradient of every parameter that touches the partition.
- ZeRO 1 to 3 reduce through a buffer of `reduce_bucket_size` elements, whatever the networks' size.
- ZeRO 3 fetches a parameter and keeps it until its last use in the step, as all are nearer than
  `stage3_max_reuse_distance` (10^9 elements). Where it cannot know what comes next, which is in the
  first critic step after a generator's and for what the generator's step reads of the critic's
  side, it fetches forward and backward anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from gzsl_dist.config import TrainSettings
from gzsl_dist.config.deepspeed_file import deepspeed_options
from gzsl_dist.errors import InputError
from gzsl_dist.planning.tracing import Parameters, Sent, Traced

STRATEGIES = ("ddp", "ZeRO 0", "ZeRO 1", "ZeRO 2", "ZeRO 3")
REDUCE_BUCKET = 500_000_000  # DeepSpeed's defaults, elements
PERSISTENT = 100_000  # a smaller parameter stays whole under ZeRO 3
ADAM_MOMENTS = 2


def reduce_bucket(settings: TrainSettings) -> int:
    """Elements of ZeRO's reduction buffers: what the DeepSpeed file says, or the default."""
    options, where = deepspeed_options(settings)
    zero = options.get("zero_optimization")
    size = zero.get("reduce_bucket_size") if isinstance(zero, dict) else None
    try:
        return REDUCE_BUCKET if size is None else int(float(size))
    except (TypeError, ValueError):
        raise InputError(
            f"{where}: zero_optimization.reduce_bucket_size {size!r}: must be a number of elements"
        ) from None


@dataclass(frozen=True)
class Held:
    """Bytes that the process with most of them holds; both sides together.

    Attributes:
        parameters: weights, buffers and averaged weights between steps.
        gradients: when a backward pass and its reduction are over.
        optimizer: Adam's moments, and under ZeRO 1 to 3 the master copy of the weights.
        bucket: buffers that gradients are reduced in, beside `gradients`.
        fetched: whole parameters that ZeRO 3 holds for a time, beside `parameters`.
    """

    parameters: int
    gradients: int
    optimizer: int
    bucket: int = 0
    fetched: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.parameters + self.gradients + self.optimizer + self.bucket + self.fetched

    def __add__(self, other: Held) -> Held:
        return Held(
            self.parameters + other.parameters,
            self.gradients + other.gradients,
            self.optimizer + other.optimizer,
            self.bucket + other.bucket,
            self.fetched + other.fetched,
        )


def held(
    strategy: str, traced: Traced, world_size: int, bucket_elements: int = REDUCE_BUCKET
) -> Held:
    """Bytes on the process with most of them, with reduction buffers of so many elements."""
    critic = _held(strategy, traced.critic_parameters, world_size, bucket_elements)
    generator = _held(strategy, traced.generator_parameters, world_size, bucket_elements)
    if strategy in ("ddp", "ZeRO 3"):
        return critic + generator
    # Gradients and the buffer are freed after a side's step: one side's at a time.
    return Held(
        critic.parameters + generator.parameters,
        max(critic.gradients, generator.gradients),
        critic.optimizer + generator.optimizer,
        max(critic.bucket, generator.bucket),
    )


def _held(strategy: str, parameters: Parameters, world_size: int, bucket_elements: int) -> Held:
    """One side's part."""
    size, counts = parameters.element_bytes, parameters.counts
    total, untrained = sum(counts), parameters.untrained
    if strategy in ("ddp", "ZeRO 0"):
        return Held(size * (total + untrained), size * total, size * ADAM_MOMENTS * total)
    if strategy in ("ZeRO 1", "ZeRO 2"):
        padded = padded_total(parameters, world_size)
        partition = padded // world_size
        return Held(
            size * (padded + untrained),
            size * _gradients_of_partition(counts, partition, world_size),
            size * (1 + ADAM_MOMENTS) * partition,
            bucket=size * bucket_elements,
        )
    partition = sum(_share(count, world_size) for count in counts)
    small = sum(count for count in counts if count < PERSISTENT)
    return Held(
        size * (partition + small + untrained),
        size * partition,
        size * (1 + ADAM_MOMENTS) * partition,
        bucket=size * bucket_elements,
        fetched=size * (total - small),
    )


def _share(count: int, world_size: int) -> int:
    return -(-count // world_size)


def padded_total(parameters: Parameters, world_size: int) -> int:
    """Elements of ZeRO 1 and 2's flat weights: a multiple of two a process."""
    return _share(sum(parameters.counts), 2 * world_size) * 2 * world_size


def _gradients_of_partition(counts: tuple[int, ...], partition: int, world_size: int) -> int:
    """Elements of all parameters that touch a partition, at the partition with most of them."""
    ends, last = [], 0
    for count in counts:
        last += count
        ends.append(last)
    most = 0
    for rank in range(world_size):
        first, end = rank * partition, (rank + 1) * partition
        touching = [
            count
            for count, stop in zip(counts, ends, strict=True)
            if stop > first and stop - count < end
        ]
        filling = max(0, end - last)  # zeros behind the last parameter
        most = max(most, sum(touching) + min(filling, partition))
    return most


def sent_by_critic_steps(strategy: str, traced: Traced, steps: int, world_size: int) -> list[Sent]:
    """What the strategy itself sends in the critic steps before one generator step."""
    parameters = traced.critic_parameters
    if strategy != "ZeRO 3":
        return _sent_for_gradients(strategy, parameters, world_size) * steps
    size = parameters.element_bytes
    own = size * sum(parameters.counts)
    other = traced.generator_parameters
    fetched = (1 + steps) * own + size * sum(other.counts)
    return [
        Sent("weights", "all_gather", fetched),
        *_sent_for_gradients(strategy, parameters, world_size) * steps,
    ]


def sent_by_generator_step(strategy: str, traced: Traced, world_size: int) -> list[Sent]:
    """What the strategy itself sends in a generator step."""
    parameters = traced.generator_parameters
    sent = _sent_for_gradients(strategy, parameters, world_size)
    if strategy == "ZeRO 3":
        # A small parameter is there at its first use, and is given up after it.
        read = sum(
            count * (times - (count < PERSISTENT)) for count, times in traced.generator.reads
        )
        fetched = parameters.element_bytes * (sum(parameters.counts) + read)
        sent.append(Sent("weights", "all_gather", fetched))
    return sent


def _sent_for_gradients(strategy: str, parameters: Parameters, world_size: int) -> list[Sent]:
    size, total = parameters.element_bytes, sum(parameters.counts)
    if strategy == "ZeRO 3":
        padded = sum(_share(count, world_size) * world_size for count in parameters.counts)
        return [Sent("gradients", "reduce_scatter", size * padded)]
    sent = [Sent("gradients", "all_reduce", size * total)]
    if strategy in ("ZeRO 1", "ZeRO 2"):
        padded = size * padded_total(parameters, world_size)
        sent.append(Sent("weights", "all_gather", padded))
    return sent
