"""Ranks of a job of 64 and 512 processes, in turn in this one: their parts add up to the whole."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from gzsl_dist.data.batches import Batch
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.training.objectives import CriticObjective, GeneratorObjective, Objective
from tests.distributed.test_gradients import build, gradients, part, setting

CPU = torch.device("cpu")
BATCH = 700  # of 512 processes, some have two rows and some one
METHODS = ("iapc", "ce_gzsl", "ce_gzsl, a sample of classes", "margin softmax of moving means")


@dataclass(frozen=True)
class Rank(DistributedContext):
    """One of many processes; what the others would send lies ready."""

    sent: dict[str, Tensor] = field(default_factory=dict, compare=False)

    def gather(self, rows: Tensor, sizes: list[int], *, gradient: bool = False) -> Tensor:
        """What all processes have, of which these rows are a part."""
        name = "labels" if rows.ndim == 1 else "projected" if gradient else "real"
        whole, own = self.sent[name], self.shard(sum(sizes))
        assert len(sizes) == self.world_size
        torch.testing.assert_close(whole[own], rows, rtol=1e-12, atol=1e-12)
        return whole


@pytest.mark.parametrize(("name", "world_size"), [("iapc", 64), *((name, 512) for name in METHODS)])
@pytest.mark.parametrize("side", [CriticObjective, GeneratorObjective])
def test_parts_of_all_ranks_add_up(name: str, side: type[Objective], world_size: int) -> None:
    config = setting(name, BATCH)

    def start() -> tuple[Objective, DistributedContext, Batch, tuple[Tensor, ...]]:
        networks, semantics, batches = build(config, torch.float64, slice(0, BATCH))
        alone = DistributedContext(0, 1, CPU)
        batch = batches.batch(0)
        with torch.no_grad():
            fake = networks.generator(batch.noise, semantics[batch.labels])
        inputs = (fake,) if side is CriticObjective else ()
        return side(networks, semantics, config, alone), alone, batch, inputs

    objective, _, batch, inputs = start()
    expected, _ = objective(batch, *inputs)
    expected.backward()
    networks = objective._shared[0]
    wanted = gradients(networks)

    objective, _, batch, inputs = start()
    networks, semantics = objective._shared[0], objective._semantics
    assert networks.embedding is not None
    rows = batch.features
    if side is GeneratorObjective:
        rows = networks.generator(batch.noise, semantics[batch.labels])
    sent = {"labels": batch.labels, "projected": networks.embedding(rows)[1]}
    sent["real"] = networks.embedding(batch.features)[1].detach()
    total = torch.zeros((), dtype=torch.float64)
    means = {key: value.clone() for key, value in networks.named_buffers()}
    for rank in range(world_size):
        for key, value in networks.named_buffers():  # each process moves its own means
            value.copy_(means[key])
        process = Rank(rank, world_size, CPU, sent=sent)
        slots = process.shard(BATCH)
        own = side(networks, semantics, config, process)
        total = total + own(part(batch, slots), *(each[slots] for each in inputs))[0]
    total.backward()
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-10)
    found = gradients(networks)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-10, msg=key)
