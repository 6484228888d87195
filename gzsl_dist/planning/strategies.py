"""What each strategy holds and sends, from the sizes of the parameters.

DDP as PyTorch does it; ZeRO as DeepSpeed 0.19 does it with weights in float32 (measured, see
`tests/distributed/test_plan.py`), which is more than the ZeRO paper's sums:

- ZeRO 1 to 3 keep a master copy of the partition, though the weights are float32 themselves.
- ZeRO 1 and 2 all-reduce the gradients (`use_multi_rank_bucket_allreduce`) instead of scattering
  the sums, and keep the whole gradient of every parameter that touches the partition.
- ZeRO 3 fetches a parameter and keeps it until its last use in the step. Where it cannot know what
  comes next, which is in the first critic step after a generator's and for what the generator's
  step reads of the critic's side, it fetches forward and backward anew.

Its buffers, which `reduce_bucket_size` sizes, and the parameters it fetches come on top.
"""

from __future__ import annotations

from dataclasses import dataclass

from gzsl_dist.planning.tracing import Parameters, Sent, Traced

STRATEGIES = ("ddp", "ZeRO 0", "ZeRO 1", "ZeRO 2", "ZeRO 3")
PERSISTENT = 100_000  # a smaller parameter stays whole under ZeRO 3
ADAM_MOMENTS = 2


@dataclass(frozen=True)
class Held:
    """Bytes that the process with most of them holds.

    Weights, buffers and averaged weights between steps; gradients when a backward pass and its
    reduction are over; Adam's moments, and under ZeRO 1 to 3 the master copy of the weights.
    """

    parameters: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.parameters + self.gradients + self.optimizer


def held(strategy: str, traced: Traced, world_size: int) -> Held:
    """Bytes of both sides on the process with most of them, with averaged weights."""
    critic = _held(strategy, traced.critic_parameters, world_size)
    generator = _held(strategy, traced.generator_parameters, world_size)
    # ZeRO 0 to 2 free gradients after a side's step: one side's at a time.
    gradients = sum if strategy in ("ddp", "ZeRO 3") else max
    return Held(
        critic.parameters + generator.parameters + traced.averages,
        gradients((critic.gradients, generator.gradients)),
        critic.optimizer + generator.optimizer,
    )


def _held(strategy: str, parameters: Parameters, world_size: int) -> Held:
    """One side's part."""
    size, counts = parameters.element_bytes, parameters.counts
    total, untrained = sum(counts), parameters.untrained
    if strategy in ("ddp", "ZeRO 0"):
        return Held(size * (total + untrained), size * total, size * ADAM_MOMENTS * total)
    if strategy == "ZeRO 3":
        partition = gradients = sum(-(-count // world_size) for count in counts)
        whole = partition + sum(count for count in counts if count < PERSISTENT)
    else:
        whole = padded_total(parameters, world_size)
        partition = whole // world_size
        gradients = _gradients_of_partition(counts, partition, world_size)
    optimizer = size * (1 + ADAM_MOMENTS) * partition
    return Held(size * (whole + untrained), size * gradients, optimizer)


def padded_total(parameters: Parameters, world_size: int) -> int:
    """Elements of ZeRO 1 and 2's flat weights: a multiple of two a process."""
    return -(-sum(parameters.counts) // (2 * world_size)) * 2 * world_size


def _gradients_of_partition(counts: tuple[int, ...], partition: int, world_size: int) -> int:
    """Elements of all parameters that touch a partition, at the partition with most of them."""
    most = 0
    for first in range(0, partition * world_size, partition):
        end, stop, touching = first + partition, 0, 0
        for count in counts:
            start, stop = stop, stop + count
            touching += count if stop > first and start < end else 0
        # zeros behind the last parameter
        most = max(most, touching + min(partition, max(0, end - stop)))
    return most


def sent_by_critic_steps(strategy: str, traced: Traced, steps: int, world_size: int) -> list[Sent]:
    """What the strategy itself sends in the critic steps before one generator step."""
    parameters = traced.critic_parameters
    sent = _sent_for_gradients(strategy, parameters, world_size) * steps
    if strategy == "ZeRO 3":
        own, other = sum(parameters.counts), sum(traced.generator_parameters.counts)
        fetched = parameters.element_bytes * ((1 + steps) * own + other)
        sent.append(Sent("weights", "all_gather", fetched))
    return sent


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
    size = parameters.element_bytes
    if strategy == "ZeRO 3":
        padded = sum(-(-count // world_size) * world_size for count in parameters.counts)
        return [Sent("gradients", "reduce_scatter", size * padded)]
    sent = [Sent("gradients", "all_reduce", size * sum(parameters.counts))]
    if strategy in ("ZeRO 1", "ZeRO 2"):
        padded = padded_total(parameters, world_size)
        sent.append(Sent("weights", "all_gather", size * padded))
    return sent
