"""Classifiers fitted by several processes: one decides, no process needs a class, blocks shrink."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation import classifier as replicated
from gzsl_dist.evaluation import sharded_classifier as sharded
from gzsl_dist.evaluation.classifier import SoftmaxClassifier, fit_softmax_blocks
from gzsl_dist.evaluation.sharded_classifier import fit_softmax_sharded
from tests.distributed.spawn import run_processes

ALONE = DistributedContext(0, 1, torch.device("cpu"))
FITS: dict[str, Callable[..., SoftmaxClassifier]] = {
    "replicated": fit_softmax_blocks,
    "sharded": fit_softmax_sharded,
}


def problem(classes: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % classes
    centers = torch.randn(classes, 5, generator=draw)
    return centers[labels] + torch.randn(120, 5, generator=draw), labels


def fitted(processes: DistributedContext, name: str, classes: int) -> SoftmaxClassifier:
    inputs, labels = problem(classes)
    mine = processes.shard(120)
    blocks = [(inputs[mine], labels[mine])]
    return FITS[name](
        lambda: blocks, inputs[:0], classes, processes,
        weight_decay=1e-4, iterations=40, tolerance=1e-7,
    )  # fmt: skip


def fit_with_another_rounding(processes: DistributedContext, name: str) -> list[Any]:
    """Every process but the first computes inner products wrong: rounding, made large."""
    right = replicated.dot
    errors = cycle([3.0, -1.5, 0.5, -0.9, 8.0])

    def rounded(one: Tensor, other: Tensor) -> Tensor:
        return right(one, other) * (1 + next(errors) * processes.rank)

    replicated.dot = sharded.dot = rounded
    try:
        found = fitted(processes, name, 4)
    finally:
        replicated.dot = sharded.dot = right
    assert found.fit is not None
    return [found.weight, found.bias, found.fit.evaluations, found.fit.iterations]


def fit_few_classes(processes: DistributedContext, name: str) -> list[Tensor]:
    found = fitted(processes, name, 2)
    return [found.weight, found.bias]


def cosines(processes: DistributedContext, name: str) -> SoftmaxClassifier:
    """Of five classes with rows, and one without."""
    inputs, labels = problem(5)
    mine = processes.shard(120)
    blocks = [(normalize(inputs, dim=1)[mine], labels[mine])]
    return FITS[name](
        lambda: blocks, inputs[:0], 6, processes,
        weight_decay=1e-4, iterations=40, tolerance=1e-7, temperature=0.2, adjustment=0.5,
    )  # fmt: skip


def fit_cosines(processes: DistributedContext, name: str) -> list[Tensor]:
    found = cosines(processes, name)
    return [found.weight, found.bias]


def gathered_rows(processes: DistributedContext) -> list[int]:
    """Sizes of what `fit_softmax_sharded` gathers at once, of 10,000 rows a process."""
    inputs, labels = torch.zeros(10_000, 1), torch.zeros(10_000, dtype=torch.int64)
    parts = sharded._gathered(lambda: [(inputs, labels)], inputs[:0], 7, processes)
    return [len(rows) for rows, _ in parts]


@pytest.mark.parametrize("name", FITS)
def test_one_process_decides_for_all(name: str) -> None:
    """Else one evaluates once more than the others, and waits for them in vain."""
    first, *others = run_processes(2, fit_with_another_rounding, name)
    for other in others:
        assert other[2:] == first[2:]
        assert torch.equal(other[0], first[0])
        assert torch.equal(other[1], first[1])


@pytest.mark.parametrize("name", FITS)
def test_more_processes_than_classes(name: str) -> None:
    alone = fitted(ALONE, name, 2)
    for weight, bias in run_processes(3, fit_few_classes, name):
        torch.testing.assert_close(weight, alone.weight, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(bias, alone.bias, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("name", FITS)
def test_cosines_are_those_of_one_process(name: str, world_size: int) -> None:
    alone = cosines(ALONE, "replicated")
    assert alone.bias[5] == -1 / 0.2
    for weight, bias in run_processes(world_size, fit_cosines, name):
        torch.testing.assert_close(weight, alone.weight, rtol=1e-3, atol=1e-3)
        assert torch.equal(bias, alone.bias)


def test_what_is_gathered_does_not_grow_with_the_number_of_processes() -> None:
    for sizes in run_processes(3, gathered_rows):
        assert sum(sizes) == 30_000
        assert max(sizes) <= 4096
