"""Blocks of similarities go through their losses in chunks, which change nothing but memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.losses import instance, prototype
from gzsl_dist.training import chunks
from gzsl_dist.training.chunks import in_chunks
from gzsl_dist.training.objectives import CriticObjective, GeneratorObjective
from tests.distributed.test_gradients import (
    SETTINGS,
    Case,
    build,
    distributed_gradients,
    plain_gradients,
    setting,
)

ALONE = DistributedContext(0, 1, torch.device("cpu"))
WITH_BLOCKS = [n for n in SETTINGS if setting(n, 24).loss.critic.active("prototypes", "rows")]


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Similarities of every block that a loss makes."""
    sizes: list[int] = []

    def of_instances(*inputs: object) -> tuple[Tensor, Tensor, Tensor]:
        found = anchor_block(*inputs)  # type: ignore[arg-type]
        sizes.append(found[0].numel())
        return found

    def of_prototypes(similarity: Tensor, **settings: object) -> tuple[Tensor, Tensor]:
        sizes.append(similarity.numel())
        return pair_logits(similarity, **settings)  # type: ignore[arg-type]

    def of_softmax(rows: Tensor, labels: Tensor, classes: Tensor, **settings: object) -> Tensor:
        sizes.append(len(rows) * len(classes))
        return softmax(rows, labels, classes, **settings)  # type: ignore[arg-type]

    anchor_block, pair_logits = instance.anchor_block, prototype.pair_logits
    softmax = prototype.margin_softmax_loss
    monkeypatch.setattr(prototype, "margin_softmax_loss", of_softmax)
    monkeypatch.setattr(instance, "anchor_block", of_instances)
    monkeypatch.setattr(prototype, "pair_logits", of_prototypes)
    return sizes


@pytest.mark.parametrize("name", WITH_BLOCKS)
@pytest.mark.parametrize("chunk", [1, 150])  # an anchor at a time; several, of unequal numbers
def test_chunks_give_the_gradients_of_plain_code(
    name: str, chunk: int, blocks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = plain_gradients(name, 24, True)
    plain = set(blocks)
    blocks.clear()
    monkeypatch.setattr(chunks, "CHUNK", chunk)
    found = distributed_gradients(ALONE, name, Case(1, 24, double=True))
    assert max(blocks, default=0) <= max(chunk, 48)  # 48 synthetic and real rows beside one anchor
    assert not plain & set(blocks)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for parameter, value in theirs.items():
            torch.testing.assert_close(ours[parameter], value, rtol=1e-9, atol=1e-12, msg=parameter)


@pytest.mark.parametrize("name", WITH_BLOCKS)
@pytest.mark.parametrize("chunk", [1, 50])
def test_chunks_give_the_same_loss(name: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def losses() -> list[Tensor]:
        networks, semantics, batches = build(
            config := setting(name, 24), torch.float64, slice(0, 24)
        )
        batch, arguments = batches.batch(0), (networks, semantics, config, ALONE)
        fake = networks.generator(batch.noise, semantics[batch.labels]).detach()
        critic, generator = CriticObjective(*arguments), GeneratorObjective(*arguments)
        return [critic(batch, fake)[0].detach(), generator(batch)[0].detach()]

    whole = losses()
    monkeypatch.setattr(chunks, "CHUNK", chunk)
    for chunked, expected in zip(losses(), whole, strict=True):
        torch.testing.assert_close(chunked, expected, rtol=1e-12, atol=0)


def test_gradients_follow_the_weight_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 6)
    rows = torch.arange(12.0).view(4, 3).requires_grad_(True)
    constant = torch.full((3,), 2.0)
    loss = in_chunks(lambda some, x, c: (x[some] ** 2 * c).sum(), slice(0, 4), 3, rows, constant)
    (0.25 * loss).backward()
    assert loss == 2 * (torch.arange(12.0) ** 2).sum()
    assert rows.grad is not None
    assert torch.equal(rows.grad, 0.25 * 4 * rows.detach())


def test_without_gradients_there_is_only_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 1)
    loss = in_chunks(lambda some, x: x[some].sum(), slice(0, 4), 1, torch.ones(4))
    assert loss == 4
    assert not loss.requires_grad


def test_no_grad_takes_no_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 1)
    taken: list[bool] = []

    def loss(some: slice, x: Tensor) -> Tensor:
        taken.append(torch.is_grad_enabled())
        return x[some].sum()

    with torch.no_grad():
        assert in_chunks(loss, slice(0, 4), 1, torch.ones(4, requires_grad=True)) == 4
    assert not any(taken)


def test_half_precision_adds_up_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 1)
    row = torch.ones(1, dtype=torch.bfloat16, requires_grad=True)
    # 1000 gradients of 1: bfloat16 alone would stay at 256
    in_chunks(lambda some, x: x.sum() * (some.stop - some.start), slice(0, 1000), 1, row).backward()
    assert row.grad is not None
    assert row.grad == 1000
