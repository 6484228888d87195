"""Banks on several processes: the same bytes, and the same classifiers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from gzsl_dist.bank.generate import BlockMaker, synthesize_class
from gzsl_dist.bank.inspection import verify
from gzsl_dist.bank.layout import BankInfo
from gzsl_dist.bank.reader import BankReader
from gzsl_dist.bank.writer import write_bank
from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import selection_problem
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.classifier import SoftmaxClassifier, fit_softmax_blocks
from gzsl_dist.evaluation.score import fit_classifier
from gzsl_dist.evaluation.sharded_classifier import fit_softmax_sharded, sharded_cross_entropy
from gzsl_dist.evaluation.synthetic import SpilledRows, synthetic_rows
from gzsl_dist.models.embedding import Embedding
from gzsl_dist.models.generator import Generator
from gzsl_dist.training.trainer import networks_for
from tests.unit.bank.banks import ALONE, bank_info

from .spawn import run_processes

WIDTH = 24


def info_and_maker() -> tuple[BankInfo, BlockMaker]:
    torch.manual_seed(0)
    generator, embedding = Generator(6, 2, 32, WIDTH), Embedding(WIDTH, 10, 4)
    for layer in (generator.hidden, generator.output, embedding.embed):
        torch.nn.init.normal_(layer.weight, std=0.3)
    info = replace(
        bank_info(counts=(50, 50, 50), labels=(0, 1, 3), embeddings=10, width=WIDTH),
        semantics=np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32),
        block_rows=16,
    )
    return info, BlockMaker(generator, embedding, info)


def write_here(processes: DistributedContext, path: str) -> None:
    torch.set_num_threads(1)
    info, maker = info_and_maker()
    write_bank(Path(path), info, maker, processes)


def write_and_stop(processes: DistributedContext, path: str) -> str:
    info, maker = info_and_maker()
    made = 0

    def stopping(rows: slice) -> dict[str, Tensor]:
        nonlocal made
        made += 1
        if made == 2 and processes.rank == processes.world_size - 1:
            raise InputError("stopped")
        return maker(rows)

    with pytest.raises(InputError) as caught:
        write_bank(Path(path), info, stopping, processes)
    return str(caught.value)


def digest(path: Path) -> dict[str, str]:
    with h5py.File(path) as bank:
        return {
            name: hashlib.sha256(bank[name][:].tobytes()).hexdigest()
            for name in ("features", "labels", "embeddings")
        }


def rows() -> tuple[Tensor, Tensor]:
    """Rows of which no class is separable, so that the optimum is a finite one."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(203) % 7
    centers = torch.randn(7, 9, generator=draw, dtype=torch.float64)
    noise = torch.randn(203, 9, generator=draw, dtype=torch.float64)
    return centers[labels] + 1.5 * noise + 3, labels


Fit = Callable[..., SoftmaxClassifier]
WEIGHTS = torch.tensor([1, 1, 0.2, 3, 1, 1, 0.5], dtype=torch.float64)
SETTINGS = {"weight_decay": 1e-3, "iterations": 20, "class_weights": WEIGHTS}


def fit_here(processes: DistributedContext, fit: Fit) -> list[Tensor]:
    inputs, labels = rows()
    # uneven shares, in blocks of 48: the processes have different numbers of blocks
    ends = {1: [0, 203], 2: [0, 150, 203], 4: [0, 20, 150, 160, 203]}[processes.world_size]
    mine = slice(ends[processes.rank], ends[processes.rank + 1])
    pairs = list(zip(inputs[mine].split(48), labels[mine].split(48), strict=True))
    classifier = fit(lambda: iter(pairs), inputs[:0], 7, processes, **SETTINGS)
    return [classifier.weight, classifier.bias]


def many_logits() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    # fewer classes than four processes
    return 30 * torch.randn(11, 3, generator=draw), torch.randint(3, (11,), generator=draw)


def sharded_loss(processes: DistributedContext) -> list[Tensor]:
    logits, labels = many_logits()
    mine = processes.shard(3)
    losses, slope = sharded_cross_entropy(logits[:, mine].clone(), labels, mine, processes)
    parts = processes.gather(slope.T.contiguous(), processes.shard_sizes(3)).T
    return [losses, parts.contiguous()]


def evaluated(processes: DistributedContext, folder: str, in_memory: str) -> list[Tensor]:
    """The classifier that training fits for an evaluation, its synthetic rows held as asked.

    They are of two classes: fewer than four processes.
    """
    config = Config.model_validate(
        {
            "run": {"dir": folder},
            "train": {"precision": "float64"},
            "model": {
                "generator_hidden": 16,
                "critic_hidden": 16,
                "embedding_dim": 16,
                "projection_dim": 8,
                "comparator_hidden": 8,
            },
            "evaluation": {"in_memory": in_memory, "rows_per_class": 1100, "iterations": 5},
        }
    )
    problem = selection_problem(digits_dataset(), config)
    networks = networks_for(problem, config)
    with synthetic_rows(networks, problem, config, processes) as rows:
        assert isinstance(rows, SpilledRows) == (in_memory == "false")
    classifier = fit_classifier(networks, problem, config, processes)
    assert in_memory == "true" or not list(Path(folder).iterdir()), "nothing is left"
    return [classifier.weight, classifier.bias]


@dataclass(frozen=True)
class Done:
    """What `all_here` left in a folder, and returned on each process."""

    folder: Path
    results: list[list[Any]]


def all_here(processes: DistributedContext, folder: str) -> list[Any]:
    write_here(processes, f"{folder}/whole/bank.h5")
    return [
        write_and_stop(processes, f"{folder}/stopped/bank.h5"),
        fit_here(processes, fit_softmax_blocks),
        fit_here(processes, fit_softmax_sharded),
        evaluated(processes, f"{folder}/run", "false"),
        sharded_loss(processes),
    ]


@pytest.fixture(scope="module", params=[1, 2, 4])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """All that several processes do here, of one start: starting them is what takes time."""
    world_size: int = request.param
    folder = tmp_path_factory.mktemp(f"on {world_size}")
    torch.set_num_threads(1)
    if world_size == 1:
        return Done(folder, [all_here(ALONE, str(folder))])
    return Done(folder, run_processes(world_size, all_here, str(folder)))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bank of one process."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("alone") / "bank.h5"
    write_here(ALONE, str(path))
    return path


def test_the_bytes_are_the_same_at_any_number_of_processes(done: Done, alone: Path) -> None:
    path = done.folder / "whole" / "bank.h5"
    verify(path)
    assert len(BankReader(path).bank.shards) == len(done.results)
    assert digest(path) == digest(alone)


def test_another_number_of_processes_goes_on_with_a_bank(done: Done, alone: Path) -> None:
    path = done.folder / "stopped" / "bank.h5"
    messages = [result[0] for result in done.results]
    assert "stopped" in messages[-1]
    assert all("process" in message and "failed" in message for message in messages[:-1])
    with pytest.raises(InputError, match="unfinished bank, lacks"):
        BankReader(path)
    write_here(ALONE, str(path))
    assert len(BankReader(path).bank.shards) == len(done.results), "as it was begun"
    assert digest(path) == digest(alone)


def test_rows_are_those_of_their_class_and_number(alone: Path) -> None:
    """Against rows that are synthesized one class at a time."""
    info, maker = info_and_maker()
    with BankReader(alone) as reader:
        found = reader.read(slice(0, 150)).inputs
    expected = [
        synthesize_class(
            maker._generator, torch.from_numpy(info.semantics[label]), number=label,
            rows=slice(0, 50), seed=info.seed,
        )
        for label in (0, 1, 3)
    ]  # fmt: skip
    assert found.std() > 0.1
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-5, atol=1e-6)


def test_blocks_and_sharded_classes_give_the_classifier_of_rows_in_memory(
    done: Done, tmp_path: Path
) -> None:
    inputs, labels = rows()
    expected = fit_softmax_blocks(lambda: [(inputs, labels)], inputs[:0], 7, ALONE, **SETTINGS)
    logits, targets = many_logits()
    logits.requires_grad_()
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    losses.sum().backward()
    in_memory = evaluated(ALONE, str(tmp_path / "run"), "true")
    for _, *fitted, spilled, softmax in done.results:
        torch.testing.assert_close(spilled, in_memory, rtol=1e-5, atol=1e-5)
        for weight, bias in fitted:
            torch.testing.assert_close(weight, expected.weight, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(bias, expected.bias, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(softmax[0], losses.detach(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(softmax[1], logits.grad, rtol=1e-5, atol=1e-5)
