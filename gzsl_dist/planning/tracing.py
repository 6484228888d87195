"""The real objectives on tensors without values: what one process keeps, gathers and multiplies.

`FakeTensorMode` gives shapes and types but no memory, so a step of 512 processes at full size is
followed in seconds, and the numbers follow the code of networks and losses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

# private by its module's name, though torch documents it; it follows shapes and types as no other
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from gzsl_dist.config import Config
from gzsl_dist.config.sizes import DataShape
from gzsl_dist.data.batches import Batch
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.models.networks import Networks, build_networks
from gzsl_dist.models.precision import network_dtype, network_precision
from gzsl_dist.training.objectives import CriticObjective, GeneratorObjective, frozen


@dataclass(frozen=True)
class Sent:
    """One collective: what it is for, which it is, and the bytes of the whole (padded) tensor,

    which is the output of an all_gather, the input of a reduce_scatter, that of an all_reduce.
    """

    purpose: str
    collective: str
    whole_bytes: int

    def ring_bytes(self, world_size: int) -> float:
        """Bytes that a process sends by the ring algorithm, the least that is possible."""
        rounds = 2 if self.collective == "all_reduce" else 1
        return rounds * self.whole_bytes * (world_size - 1) / world_size


@dataclass(frozen=True)
class StepTrace:
    """One step of one side, on the process with the largest share.

    Attributes:
        activations: bytes that autograd keeps for the backward pass, each storage once, without
            parameters and buffers.
        matrix_flops: of all matrix products, forward and backward (a multiply-add is two).
        distance_flops: the same of the comparator's pairs: maximum or comparison, product, sum.
        gathers: collectives over rows of the batch.
        reads: elements of each parameter of the *other* side, and how often its modules read it:
            in every call, and again where a gradient passes through (ZeRO 3 fetches so).
    """

    activations: int
    matrix_flops: int
    distance_flops: int
    gathers: tuple[Sent, ...]
    reads: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Parameters:
    """Elements of each trained parameter of a side, in the order of the optimizer.

    `untrained` counts elements of parameters without gradient, and of buffers.
    """

    counts: tuple[int, ...]
    untrained: int
    element_bytes: int


@dataclass(frozen=True)
class Traced:
    """Both sides of a training, at one number of processes."""

    critic: StepTrace
    generator: StepTrace
    critic_parameters: Parameters
    generator_parameters: Parameters
    fake_flops: int  # of making a critic step's synthetic rows
    averages: int  # bytes of averaged weights


@dataclass(frozen=True)
class PlannedProcesses(DistributedContext):
    """The first of `world_size` processes that do not exist; gathering is written down instead."""

    sent: list[Sent] = field(default_factory=list)

    def gather(self, rows: Tensor, sizes: list[int], *, gradient: bool = False) -> Tensor:
        """As of `DistributedContext`, by shapes only."""
        if self.world_size == 1:
            return rows
        result: Tensor = _PlannedGather.apply(rows, sum(sizes), max(sizes), self)  # type: ignore[no-untyped-call]
        return result if gradient else result.detach()

    def record(self, rows: Tensor, padded: int, collective: str) -> None:
        """Write down a collective over rows padded to `padded` on each process."""
        whole = padded * self.world_size * rows[:1].numel() * rows.element_size()
        purpose = "embeddings" if rows.is_floating_point() else "labels"
        self.sent.append(Sent(purpose, collective, whole))


class _PlannedGather(torch.autograd.Function):
    """The shapes of `gzsl_dist.distributed.collectives`, all_gather and reduce_scatter."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, total: int, padded: int, processes: PlannedProcesses
    ) -> Tensor:
        ctx.rows, ctx.padded, ctx.processes = len(rows), padded, processes
        processes.record(rows, padded, "all_gather")
        whole = rows.new_empty(total, *rows.shape[1:])
        if not rows.is_floating_point():
            ctx.mark_non_differentiable(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        ctx.processes.record(gradient, ctx.padded, "reduce_scatter")
        return gradient.new_empty(ctx.rows, *gradient.shape[1:]), None, None, None


class _Values(TorchFunctionMode):
    """Typical sizes where those of a result depend on values, which are not there.

    Half of a mask is true (the comparator's weights are positive and negative alike), and every
    class occurs in a batch.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.__getitem__:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = (args[0], tuple(_half(part) for part in index))
        if func is torch.unique:
            values = args[0].new_empty(min(self.classes, len(args[0])))
            return (values, torch.empty_like(values)) if kwargs.get("return_counts") else values
        if func is torch.bincount:
            return args[0].new_empty(kwargs["minlength"])
        return func(*args, **kwargs)


def _half(index: Any) -> Any:
    if isinstance(index, Tensor) and index.dtype == torch.bool:
        return torch.empty((len(index) + 1) // 2, dtype=torch.int64)
    return index


def trace(config: Config, shape: DataShape, world_size: int) -> Traced:
    """Follow a critic step and a generator step of the first of `world_size` processes."""
    dtype = network_dtype(config.train.precision)
    with torch.device("meta"):
        networks = build_networks(
            config,
            feature_dim=shape.feature_dim,
            semantic_dim=shape.semantic_dim,
            seen_count=shape.seen_count,
        )
    with FakeTensorMode(), _Values(shape.seen_count):
        _without_values(networks)
        processes = PlannedProcesses(0, world_size, torch.device("cpu"))
        slots = processes.shard_sizes(config.train.batch_size)[0]
        semantics = torch.empty(shape.seen_count, shape.semantic_dim, dtype=dtype)
        sample = config.loss.sampled_classes(shape.seen_count)
        batch = Batch(
            features=torch.empty(slots, shape.feature_dim, dtype=dtype),
            labels=torch.empty(slots, dtype=torch.int64),
            noise=torch.empty(slots, config.model.noise_dim, dtype=dtype),
            mix=torch.empty(slots, 1, dtype=dtype),
            compared=torch.empty(sample, dtype=torch.int64) if sample else None,
        )
        arguments = (networks, semantics, config, processes)
        critic, generator = CriticObjective(*arguments), GeneratorObjective(*arguments)
        trained = (_parameters(critic), _parameters(generator))
        making = FlopCounterMode(display=False)
        with making, torch.no_grad(), network_precision(config.train.precision, processes.device):
            fake = networks.generator(batch.noise, semantics[batch.labels])
        critic_trace = _step(critic, networks, processes, batch, fake)
        with frozen(critic):
            generator_trace = _step(generator, networks, processes, batch)
    averaged = (networks.generator, networks.embedding) if config.train.ema is not None else ()
    averages = sum(
        value.nbytes for network in averaged if network for value in network.parameters()
    )
    return Traced(critic_trace, generator_trace, *trained, making.get_total_flops(), averages)


def _without_values(networks: nn.Module) -> None:
    """Put networks of the meta device on the (fake) CPU, where autocast works as in training."""
    for module in networks.modules():
        for name, parameter in module.named_parameters(recurse=False):
            empty = torch.empty(parameter.shape, dtype=parameter.dtype)
            setattr(module, name, nn.Parameter(empty, requires_grad=parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))


def _parameters(objective: nn.Module) -> Parameters:
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    counts = tuple(parameter.numel() for parameter in trained)
    everything = sum(tensor.numel() for tensor in objective.state_dict().values())
    return Parameters(counts, everything - sum(counts), trained[0].element_size())


def _step(
    objective: nn.Module, networks: Networks, processes: PlannedProcesses, *inputs: Any
) -> StepTrace:
    processes.sent.clear()
    own = set(objective.modules())
    # The comparator's pairs are no matrix products; the counter lists them by their own name.
    distances = {
        torch.ops.gzsl_dist.sums_of_maxima: _pair_flops,
        torch.ops.gzsl_dist.weighted_slopes: _pair_flops,
    }
    counter = FlopCounterMode(display=False, custom_mapping=distances)
    with counter, _reads([m for m in networks.modules() if m not in own]) as reads:
        with kept_for_backward(networks) as kept:
            loss, _ = objective(*inputs)
        # All is kept until here, and nothing is freed before.
        activations = sum(kept.values())
        loss.backward()
    by_operation = counter.get_flop_counts()["Global"]
    distance = sum(by_operation.get(name, 0) for name in distances)
    return StepTrace(
        activations=activations,
        matrix_flops=counter.get_total_flops() - distance,
        distance_flops=distance,
        gathers=tuple(processes.sent),
        reads=tuple((parameter.numel(), times) for parameter, times in reads.items()),
    )


@contextmanager
def kept_for_backward(networks: nn.Module) -> Iterator[dict[torch.UntypedStorage, int]]:
    """Bytes of each storage that autograd keeps inside the context, but for the networks' own."""
    local = networks.state_dict(keep_vars=True).values()
    own = {tensor.untyped_storage() for tensor in local}
    kept: dict[torch.UntypedStorage, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage not in own:
            kept[storage] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


@contextmanager
def _reads(modules: list[nn.Module]) -> Iterator[Counter[nn.Parameter]]:
    """How often the calls read each parameter, forward and, where a gradient goes, back."""
    reads: Counter[nn.Parameter] = Counter()

    def called(module: nn.Module, _: Any, output: Any) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        back = any(isinstance(part, Tensor) and part.requires_grad for part in outputs)
        for parameter in module.parameters(recurse=False):
            reads[parameter] += 1 + back

    handles = [module.register_forward_hook(called) for module in modules]
    try:
        yield reads
    finally:
        for handle in handles:
            handle.remove()


def _pair_flops(left: Any, right: Any, *_: Any, **__: Any) -> int:
    """A maximum or comparison, a product and a sum for each pair and hidden unit."""
    rows, columns, width = left[0], right[0], left[1]
    return int(3 * rows * columns * width)
