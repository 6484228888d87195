"""What a real training holds, sends and computes, counted without the planning code."""

from __future__ import annotations

import os
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from gzsl_dist.config import Config
from gzsl_dist.data.problem import Problem, Rows
from gzsl_dist.data.scaling import Scaling
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.training.trainer import Trainer

ROOT = Path(__file__).parents[2]
CLASSES, FEATURES, SEMANTICS, ROWS = 90, 256, 128, 400
Numbers = dict[str, float]


def configuration(method: str, strategy: str = "auto", precision: str = "float32") -> Config:
    """CUB's proportions, scaled down; batch and classes that no number of processes divides."""
    train: dict[str, Any] = {"batch_size": 190, "critic_steps": 3, "precision": precision}
    if strategy.startswith("zero"):
        file = ROOT / "configs" / "deepspeed" / f"{strategy}.yaml"
        train |= {"strategy": "deepspeed", "deepspeed_config": str(file)}
    model = {
        "noise_dim": 64,
        "generator_hidden": 512,
        "critic_hidden": 512,
        "embedding_dim": 256,
        "projection_dim": 64,
        "comparator_hidden": 256,
        "prototype_hidden": 128,
    }
    return Config.model_validate({"method": method, "model": model, "train": train})


def problem() -> Problem:
    draw = torch.Generator().manual_seed(0)
    nothing = Rows(torch.zeros(0, FEATURES), torch.zeros(0, dtype=torch.int64))
    return Problem(
        train=Rows(
            torch.rand(ROWS, FEATURES, generator=draw),
            torch.randint(CLASSES, (ROWS,), generator=draw),
        ),
        seen=nothing,
        unseen=nothing,
        semantics=torch.randn(CLASSES, SEMANTICS, generator=draw),
        seen_count=CLASSES,
        classes=np.arange(CLASSES),
        scaling=Scaling.fit(np.ones((2, FEATURES), dtype=np.float32), "none"),
        note="",
        names=tuple(map(str, range(CLASSES))),
    )


class Collectives(TorchDispatchMode):
    """Whole bytes of each collective, by kind; DDP's and DeepSpeed's pass here as well."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func.namespace == "c10d":
            name = func._schema.name.removeprefix("c10d::")
            self.bytes[name] += max(map(_bytes, args))
        return func(*args, **(kwargs or {}))


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0


def storages(tensors: Iterable[Any]) -> int:
    """Bytes of the tensors' storages, each once."""
    found = {}
    for tensor in tensors:
        if isinstance(tensor, Tensor):
            storage = tensor.untyped_storage()
            found[storage._cdata] = storage.nbytes()
    return sum(found.values())


def held_by(side: Any) -> Numbers:
    """Bytes of what a strategy's side really holds at this moment."""
    optimizer, stage = side.optimizer, getattr(side, "stage", 0)
    parameters = list(side.parameters.values())
    gradients = [parameter.grad for parameter in parameters]
    if stage == 0:
        states = [value for state in optimizer.state.values() for value in state.values()]
        return {
            "parameters": storages(parameters),
            "gradients": storages(gradients),
            "optimizer": storages(states),
        }
    states = [value for state in optimizer.optimizer.state.values() for value in state.values()]
    if stage < 3:
        kept = [part for group in optimizer.averaged_gradients.values() for part in group or []]
        return {
            "parameters": storages(parameters),
            "gradients": storages(gradients + kept),
            "optimizer": storages(states + optimizer.single_partition_of_fp32_groups),
        }
    small = 4 * sum(p.ds_numel for p in parameters if p.ds_persist)  # kept whole
    return {
        "parameters": storages(p.ds_tensor for p in parameters) + small,
        "gradients": storages([*gradients, optimizer.grad_partitions_flat_buffer]),
        "optimizer": storages(states + optimizer.fp32_partitioned_groups_flat),
    }


@contextmanager
def watch(trainer: Trainer, found: Numbers) -> Iterator[None]:
    """Note the most that both sides hold together when a gradient is ready to be used."""
    sides = list(trainer.sides.values())

    def note() -> None:
        both = [held_by(side) for side in sides]
        for name in both[0]:
            found[name] = max(found.get(name, 0), sum(part[name] for part in both))

    def before(target: Any, method: str) -> None:
        original = getattr(target, method)

        def replacement(*args: Any, **kwargs: Any) -> Any:
            note()
            return original(*args, **kwargs)

        patch.setattr(target, method, replacement)

    with pytest.MonkeyPatch.context() as patch:
        for side in sides:
            before(getattr(side, "engine", side.optimizer), "step")
        yield


def measure_strategy(processes: DistributedContext, method: str, strategy: str) -> Numbers:
    """Held bytes, and whole bytes of collectives in all critic steps and in a generator step."""
    config = configuration(method, strategy)
    trainer = Trainer(problem(), config, processes, choose_strategy(config.train, processes))
    found: Numbers = {}
    for step in range(2):  # ZeRO 3 learns the order of modules
        trainer.train_step(step)
    generator_step = trainer.generator_side.step
    phases = {"critic": Collectives(), "generator": Collectives()}

    def switched(*inputs: Any) -> Any:
        phases["critic"].__exit__(None, None, None)
        with phases["generator"]:
            return generator_step(*inputs)

    trainer.generator_side.step = switched  # type: ignore[method-assign]
    if processes.world_size > 1:
        dist.barrier()
    before = bytes_sent()
    with watch(trainer, found):
        phases["critic"].__enter__()
        trainer.train_step(2)
    found["wire"] = bytes_sent() - before
    for side, counted in phases.items():
        for name, size in counted.bytes.items():
            found[f"{side} {name}"] = size
    return found


def measure_step(processes: DistributedContext, method: str, precision: str = "float32") -> Numbers:
    """Activations, similarity blocks and FLOPs; they do not depend on the strategy."""
    config = configuration(method, precision=precision)
    trainer = Trainer(problem(), config, processes, choose_strategy(config.train, processes))
    found: Numbers = {}
    with pytest.MonkeyPatch.context() as patch:
        note_blocks(patch, found, config.train.batch_size)
        for name, side in trainer.sides.items():
            note_activations(patch, found, name, side.objective, trainer.networks)  # type: ignore[attr-defined]
        trainer.train_step(0)
    counter = FlopCounterMode(display=False)
    with counter:
        trainer.train_step(1)
    return found | {"flops": counter.get_total_flops()}


def note_activations(
    patch: pytest.MonkeyPatch, found: Numbers, name: str, objective: Any, networks: Any
) -> None:
    original = objective.forward
    own = {p.untyped_storage().data_ptr() for p in networks.state_dict().values()}

    def forward(*inputs: Any) -> Any:
        kept: list[Tensor] = []

        def pack(tensor: Tensor) -> Tensor:
            if tensor.untyped_storage().data_ptr() not in own:
                kept.append(tensor.detach())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            result = original(*inputs)
        found[f"{name} activations"] = storages(kept)
        return result

    patch.setattr(objective, "forward", forward)


def note_blocks(patch: pytest.MonkeyPatch, found: Numbers, batch: int) -> None:
    """Bytes of what each embedding loss compares."""
    from gzsl_dist.losses import instance, prototype
    from gzsl_dist.models.comparator import Comparator

    def block(*inputs: Any) -> Any:
        result = anchor_block(*inputs)
        # The generator's side compares synthetic and real rows, twice the batch.
        side = "generator" if len(inputs[1]) > batch else "critic"
        found[f"{side} instances"] = _bytes(result[0])
        return result

    def logits(similarity: Tensor, **options: Any) -> Any:
        found["prototypes"] = _bytes(similarity)
        return pair_logits(similarity, **options)

    def scores(self: Comparator, *inputs: Any) -> Tensor:
        result = forward(self, *inputs)
        found["comparator"] = _bytes(result)
        return result

    anchor_block, pair_logits = instance.anchor_block, prototype.pair_logits
    forward = Comparator.forward
    patch.setattr(instance, "anchor_block", block)
    patch.setattr(prototype, "pair_logits", logits)
    patch.setattr(Comparator, "forward", scores)


def bytes_sent() -> int:
    """Bytes that this process's TCP sockets have sent, gloo's among them (Linux's TCP_INFO)."""
    total = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(descriptor))) as connection:
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        except OSError:  # no TCP socket, or closed meanwhile
            continue
        if len(info) >= 208:  # tcpi_bytes_sent, since Linux 4.19
            total += struct.unpack_from("Q", info, 200)[0]
    return total
