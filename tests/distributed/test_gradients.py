"""Every parameter's gradient of both steps, on 1, 2, 4 and 8 processes, against plain code.

Of every registered loss in all of its forms: a new one is tested without a line here.
"""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from torch import Tensor

from gzsl_dist.config import LOSSES, Config
from gzsl_dist.config.nested import merge
from gzsl_dist.data.batches import Batch, BatchSource
from gzsl_dist.data.problem import Rows
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import Engine
from gzsl_dist.models.anchor import regressions
from gzsl_dist.models.networks import Networks, build_networks
from gzsl_dist.monitoring.throughput import peak_bytes
from gzsl_dist.training import chunks
from gzsl_dist.training.micro_batches import in_micro_batches
from gzsl_dist.training.objectives import CriticObjective, GeneratorObjective, frozen

from . import plain
from .spawn import run_processes

ROOT = Path(__file__).parents[2]
CLASSES, FEATURES, SEMANTICS = 7, 12, 5
SIZES = {
    "noise_dim": 4,
    "generator_hidden": 16,
    "critic_hidden": 16,
    "embedding_dim": 16,
    "projection_dim": 8,
    "comparator_hidden": 8,
    "prototype_hidden": 8,
}


def registered() -> dict[str, dict[str, Any]]:
    """Every registered loss alone, and with each value of its settings of a few values."""
    found = {}
    for name, loss in LOSSES.items():
        weight = {"critic": {name: 1.0}, "generator": {name: 1.0}}
        alone = {"method": "wgan", "loss": weight, "evaluation": {"space": "h"}}
        found[name] = alone
        for field, info in loss.model_fields.items():
            kinds = [info.annotation, *get_args(info.annotation)]
            values = [
                value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)
            ]
            for value in [*values, *([False, True] if bool in kinds else [])]:
                given = merge(alone, {"loss": {name: {field: value}}})
                if Config.model_validate(given) != Config.model_validate(alone):
                    found[f"{name}, {field} {value}"] = given
    return found


REGISTERED = registered()
SETTINGS = {
    **REGISTERED,
    "iapc": {"method": "iapc"},
    "iapc, weights of its own": {
        "method": "iapc",
        "loss": {
            "critic": {"prototype": 0.3, "instance": 0.7, "comparator": 0.2},
            "generator": {"prototype": 0.5, "instance": 2.0, "comparator": 0.0},
            "instance": {"form": "fixed"},
        },
    },
    "margin softmax of moving means": {
        "method": "iapc",
        "loss": {"prototype": {"form": "softmax", "source": "ema"}},
    },
    "local negatives": {"method": "iapc", "loss": {"negatives": "local"}},
    "ce_gzsl": {"method": "ce_gzsl", "loss": {"generator": {"instance": 1.0, "comparator": 1.0}}},
    "ce_gzsl, a sample of classes": {
        "method": "ce_gzsl",
        "loss": {"generator": {"instance": 1.0, "comparator": 1.0}, "comparator_sample": 3},
    },
    "wgan": {"method": "wgan"},
    "iapc, anchor": {"method": "iapc", "model": {"anchor": "ridge"}},
    "iapc, anchor with a kernel": {"method": "iapc", "model": {"anchor": "kernel_ridge"}},
}
CPU = torch.device("cpu")
TOLERANCE = {False: 1e-5, True: 1e-10}  # float32, float64
Gradients = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """How many processes compute gradients of how many rows, and by what."""

    world_size: int
    batch_size: int
    strategy: str = "auto"
    double: bool = False
    micro: int | None = None
    chunk: int | None = None

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.double else torch.float32

    @property
    def settings(self) -> list[str]:
        """Every loss alone by DDP on 1 to 4 processes, also in pieces; by DeepSpeed once.

        DeepSpeed gets gradients of parameters and knows of no loss: at its other sizes, and in
        pieces there, the methods' sums of losses reach every parameter.
        """
        by_ddp = self.strategy == "auto" and self.world_size <= 4
        if by_ddp or self == Case(2, 11, self.strategy):
            return list(SETTINGS)
        return [name for name in SETTINGS if name not in REGISTERED]

    def __str__(self) -> str:
        parts = {"micro": self.micro, "chunk": self.chunk}
        more = [f"{name} {size}" for name, size in parts.items() if size]
        return f"{self.world_size}-{self.batch_size}-{self.strategy}-{self.dtype}-{'-'.join(more)}"


STAGES = ["zero0", "zero1", "zero2", "zero3"] if importlib.util.find_spec("deepspeed") else []
CASES = [
    *(
        Case(world_size, batch_size, double=double)
        for world_size, batch_size in ((1, 24), (2, 24), (2, 11), (4, 24), (4, 11))
        for double in (False, True)
    ),
    Case(8, 11, double=True),
    # the last one: a process with an empty micro-batch
    *(
        Case(*size, double=True, micro=micro)
        for *size, micro in ((1, 24, 5), (2, 11, 2), (4, 11, 1))
    ),
    # 30 similarities at a time: two or three anchors, and two classes, on either process
    Case(2, 11, double=True, chunk=30),
    *(Case(2, 11, strategy, chunk=30) for strategy in STAGES[::3]),
    *(Case(*size, strategy) for strategy in STAGES for size in ((1, 24), (2, 11), (4, 24))),
    *(Case(2, 11, strategy, micro=2) for strategy in STAGES),
]
CASES.sort(key=lambda case: case.strategy)  # ZeRO 3 last: it changes torch's linear for good


def setting(name: str, batch_size: int, strategy: str = "auto", micro: int | None = None) -> Config:
    """`strategy` is auto, or zero0 to zero3 for DeepSpeed; `micro` is the micro-batch size."""
    train: dict[str, object] = {"batch_size": batch_size, "micro_batch_size": micro}
    if strategy != "auto":
        file = ROOT / "configs" / "deepspeed" / f"{strategy}.yaml"
        train |= {"strategy": "deepspeed", "deepspeed_config": str(file)}
    return Config.model_validate(merge(SETTINGS[name], {"model": SIZES, "train": train}))


def build(
    config: Config, dtype: torch.dtype, slots: slice, device: torch.device = CPU
) -> tuple[Networks, Tensor, BatchSource]:
    """Drawn in host memory, so alike on every device."""
    draw = torch.Generator().manual_seed(5)
    semantics = torch.randn(CLASSES, SEMANTICS, generator=draw).to(dtype)
    rows = Rows(
        torch.rand(40, FEATURES, generator=draw), torch.randint(CLASSES, (40,), generator=draw)
    )
    networks = build_networks(
        config, feature_dim=FEATURES, semantic_dim=SEMANTICS, seen_count=CLASSES
    ).to(dtype)
    for parameter in networks.parameters():  # far from the tiny start, where all is alike
        parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=draw).to(dtype))
    for name, means in networks.named_buffers():
        if name == "prototypes.means":  # half of the classes have been in a batch before
            means[::2] = torch.randn(means[::2].shape, generator=draw).to(dtype)
            means[::2] /= means[::2].norm(dim=1, keepdim=True)
    if (
        networks.generator.anchor is not None
    ):  # of values that make a part of ReLU's inputs negative
        form, means = config.model.anchor, torch.randn(CLASSES, FEATURES, generator=draw)
        networks.generator.anchor.take(next(regressions(form, semantics, means)))
    sample = config.loss.comparator_sample
    batches = BatchSource(
        rows,
        batch_size=config.train.batch_size,
        slots=slots,
        noise_dim=config.model.noise_dim,
        seed=3,
        device=device,
        dtype=dtype,
        sample=(sample, CLASSES) if sample else None,
    )
    return networks.to(device), semantics.to(device), batches


def gradients(networks: Networks) -> Gradients:
    return {
        name: parameter.grad.clone()
        for name, parameter in networks.named_parameters()
        if parameter.grad is not None
    }


def gradients_of(side: Engine, config: Config) -> Gradients:
    """Gradients of a side's first step: Adam's first moment holds them, whole, at any strategy."""
    return {
        name: moments["exp_avg"].cpu() / (1 - config.train.beta1)
        for name, moments in side.state_dict().items()
    }


def distributed_gradients(processes: DistributedContext, name: str, case: Case) -> list[Gradients]:
    """Gradients of the critic's and of the generator's step, as the strategy sums them.

    The generator's step comes first: the critic's needs no more of the generator than the rows that
    it made before, and the generator's needs the critic as it was at the start.
    """
    config = setting(name, case.batch_size, case.strategy, case.micro)
    networks, semantics, batches = build(
        config, case.dtype, processes.shard(case.batch_size), processes.device
    )
    arguments = (networks, semantics, config, processes)
    train = choose_strategy(config.train, processes)
    critic_objective = CriticObjective(*arguments)
    critic = train.wrap(critic_objective, config.train)
    generator = train.wrap(GeneratorObjective(*arguments), config.train)
    batch = batches.batch(0)
    with torch.no_grad():
        fake = networks.generator(batch.noise, semantics[batch.labels])
    with frozen(critic_objective):
        generator.step(batches.batch(1))
    critic.step(batch, fake)
    found = gradients_of(critic, config)
    means = networks.state_dict().get("prototypes.means")
    if means is not None:
        found["prototypes.means"] = means.cpu().clone()
    return [found, gradients_of(generator, config)]


def plain_gradients(
    name: str, batch_size: int, double: bool, world_size: int = 1
) -> list[Gradients]:
    """By plain code; the number of processes counts where negatives are local."""
    local = setting(name, batch_size).loss.negatives == "local"
    return _plain_gradients(name, batch_size, double, world_size if local else 1)


@cache
def _plain_gradients(name: str, batch_size: int, double: bool, world_size: int) -> list[Gradients]:
    config = setting(name, batch_size)
    dtype = torch.float64 if double else torch.float32
    networks, semantics, batches = build(config, dtype, slice(0, batch_size))
    shares = [DistributedContext(n, world_size, CPU).shard(batch_size) for n in range(world_size)]
    before = {key: value.clone() for key, value in networks.state_dict().items()}
    for share in shares:  # each a batch of its own
        batch = part(batches.batch(0), share)
        weight = len(batch.labels) / batch_size
        (weight * plain.critic_loss(networks, semantics, config, batch)).backward()
    critic = {
        key: value for key, value in gradients(networks).items() if not key.startswith("generator.")
    }
    means = networks.state_dict().get("prototypes.means")
    if means is not None:
        critic["prototypes.means"] = means.clone()
    networks.load_state_dict(before)
    networks.zero_grad(set_to_none=True)
    for share in shares:
        batch = part(batches.batch(1), share)
        weight = len(batch.labels) / batch_size
        loss = plain.generator_loss(networks, semantics, config, batch)
        (weight * loss).backward()
    generator = {
        key: value for key, value in gradients(networks).items() if key.startswith("generator.")
    }
    return [critic, generator]


def part(batch: Batch, slots: slice) -> Batch:
    rows = (batch.features[slots], batch.labels[slots], batch.noise[slots], batch.mix[slots])
    return Batch(*rows, batch.compared)


def all_distributed_gradients(
    processes: DistributedContext, cases: list[Case]
) -> list[dict[str, list[Gradients]]]:
    """By case and setting."""
    found: list[dict[str, list[Gradients]]] = []
    whole = chunks.CHUNK
    for case in cases:
        chunks.CHUNK = case.chunk or whole
        found.append({})
        for name in case.settings:
            found[-1][name] = distributed_gradients(processes, name, case)
            gc.freeze()  # ZeRO 3 collects garbage at every start, each time slower
    return found


def assert_same(
    found: list[Gradients], expected: list[Gradients], double: bool, where: object
) -> None:
    """Gradients of both sides, each parameter's within the tolerance of its type."""
    for side, ours, theirs in zip(("critic", "generator"), found, expected, strict=True):
        assert ours.keys() == theirs.keys(), (where, side)
        for parameter, value in theirs.items():
            error = (ours[parameter] - value).norm() / value.norm().clamp_min(1e-12)
            assert error < TOLERANCE[double], (where, side, parameter, float(error))


@pytest.fixture(scope="module")
def found() -> Callable[[Case], list[dict[str, list[Gradients]]]]:
    """Gradients of a case by rank: all cases of a number of processes are of one start of them."""

    @cache
    def of_all(world_size: int) -> list[list[dict[str, list[Gradients]]]]:
        cases = [case for case in CASES if case.world_size == world_size]
        return run_processes(world_size, all_distributed_gradients, cases)

    def of(case: Case) -> list[dict[str, list[Gradients]]]:
        number = [each for each in CASES if each.world_size == case.world_size].index(case)
        return [by_rank[number] for by_rank in of_all(case.world_size)]

    return of


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_equal_plain_code(
    case: Case, found: Callable[[Case], list[dict[str, list[Gradients]]]]
) -> None:
    """Of every setting, whole and in micro-batches and chunks, by DDP and under ZeRO 0 to 3."""
    by_rank = found(case)
    for name in case.settings:
        expected = plain_gradients(name, case.batch_size, case.double, case.world_size)
        for rank, ours in enumerate(by_rank):
            assert_same(ours[name], expected, case.double, (name, rank))


def test_compiled_gradients_equal_plain_code() -> None:
    whole = setting("iapc", 24)
    config = whole.model_copy(update={"train": whole.train.model_copy(update={"compile": True})})
    networks, semantics, batches = build(config, torch.float64, slice(0, 24))
    alone = DistributedContext(0, 1, torch.device("cpu"))
    objective = CriticObjective(networks, semantics, config, alone)
    batch = batches.batch(0)
    fake = networks.generator(batch.noise, semantics[batch.labels]).detach()
    objective(batch, fake)[0].backward()
    expected = plain_gradients("iapc", 24, True)[0]
    for name, value in expected.items():
        torch.testing.assert_close(gradients(networks)[name], value, rtol=1e-9, atol=1e-12)


def test_micro_batches_take_less_memory() -> None:
    (whole,) = run_processes(1, memory_of_a_critic_step, None)
    (micro,) = run_processes(1, memory_of_a_critic_step, 250)
    assert micro < whole / 2, (micro, whole)


def memory_of_a_critic_step(processes: DistributedContext, micro: int | None) -> int:
    """Growth of the process's peak, in bytes, in a step of 8,000 rows and hidden layers of 500."""
    sizes = SIZES | {"critic_hidden": 500, "embedding_dim": 500, "comparator_hidden": 500}
    train = {"batch_size": 8000, "micro_batch_size": micro}
    loss = {"generator": {"instance": 0.0}, "critic": {"instance": 0.0}}
    config = Config.model_validate(
        {"method": "ce_gzsl", "loss": loss, "model": sizes, "train": train}
    )
    networks, semantics, batches = build(config, torch.float32, slice(0, 8000))
    objective = CriticObjective(networks, semantics, config, processes)
    batch = batches.batch(0)
    fake = networks.generator(batch.noise, semantics[batch.labels]).detach()
    few = (batch.features[:50], batch.labels[:50], batch.mix[:50], fake[:50])
    losses, _ = in_micro_batches(objective.rows, *few, count=2)  # loads what torch loads late
    sum(losses.values()).backward()
    before = peak_bytes()
    objective(batch, fake)[0].backward()
    return peak_bytes() - before


def test_gather_adds_gradients_of_all_processes() -> None:
    for gathered, gradient in run_processes(3, gather_and_differentiate):
        assert torch.equal(gathered[:, 0], torch.arange(5.0))
        # the loss of rank r is (r + 1) * sum of squares of all rows: 1 + 2 + 3 = 6
        assert torch.allclose(gradient, 6 * 2 * gathered[gradient_rows(gradient)])


def gather_and_differentiate(processes: DistributedContext) -> tuple[Tensor, Tensor]:
    mine = processes.shard(5)
    rows = torch.arange(5.0)[mine, None].requires_grad_(True)
    gathered = processes.gather(rows, processes.shard_sizes(5), gradient=True)
    ((processes.rank + 1) * gathered.square().sum()).backward()
    everyone = processes.gather(rows.grad, processes.shard_sizes(5))
    return gathered.detach(), everyone


def gradient_rows(gradient: Tensor) -> slice:
    return slice(0, len(gradient))


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_rows_and_noise_depend_on_slots_only(world_size: int) -> None:
    config = setting("iapc", 11)
    whole = build(config, torch.float32, slice(0, 11))[2]
    shares = [
        build(
            config,
            torch.float32,
            DistributedContext(rank, world_size, torch.device("cpu")).shard(11),
        )[2]
        for rank in range(world_size)
    ]
    for draw in range(9):  # beyond one pass over the 40 rows
        ids = [torch.from_numpy(share.row_ids(draw)) for share in shares]
        assert torch.equal(torch.cat(ids), torch.from_numpy(whole.row_ids(draw)))
        for part in ("features", "labels", "noise", "mix"):
            pieces = [getattr(share.batch(draw), part) for share in shares]
            assert torch.equal(torch.cat(pieces), getattr(whole.batch(draw), part)), part
