"""Synthetic rows for the classifier: in memory, or in a bank for as long as it is fitted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gzsl_dist.bank.generate import BlockMaker, synthesize_class
from gzsl_dist.bank.layout import BankInfo
from gzsl_dist.bank.reader import BankReader
from gzsl_dist.bank.rows import Column
from gzsl_dist.bank.writer import remove_bank, write_bank
from gzsl_dist.config import Config
from gzsl_dist.data.memory import fits_in_memory
from gzsl_dist.data.problem import Problem, Rows
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.evaluation.bank_rows import BankRows
from gzsl_dist.evaluation.classifier_space import ClassifierSpace
from gzsl_dist.models.fingerprint import fingerprint
from gzsl_dist.models.networks import Networks
from gzsl_dist.run.files import RunFiles


@contextmanager
def synthetic_rows(
    networks: Networks, problem: Problem, config: Config, processes: Processes
) -> Iterator[Rows | BankRows]:
    """This process's share of `evaluation.rows_per_class` rows of every unseen class.

    Rows that need too much memory (`evaluation.in_memory`) go to a bank in the run directory, which
    all processes write, read in every pass of the classifier, and remove in the end. One that a
    killed job left is gone on with, or replaced.

    Args:
        networks: whose generator makes the rows.
        problem: whose unseen classes they are of.
        config: rows per class, seed, run directory.
        processes: the job.

    Raises:
        InputError: the bank cannot be written.
    """
    mine = processes.share(len(problem.classes) - problem.seen_count)
    rows = (mine.stop - mine.start) * config.evaluation.rows_per_class
    wanted = config.evaluation.in_memory
    fits = wanted == "true" or (
        wanted == "auto"
        and fits_in_memory(
            rows * row_bytes(networks, config), networks.generator.output.weight.device
        )
    )
    if not processes.any(not fits):
        yield _in_memory(networks, problem, config, mine)
        return
    path = RunFiles(config.run_dir).evaluation_bank
    with BankReader(_written(path, networks, problem, config, processes)) as reader:
        unseen = tuple(reader.class_counts)
        share = processes.share(reader.info.block_count)
        column: Column = "embeddings" if reader.info.embedding_width else "features"
        yield BankRows(reader, unseen, problem, range(share.start, share.stop), column)
        processes.together(reader.close)  # no process still reads
    processes.once(lambda: remove_bank(path))


def row_bytes(networks: Networks, config: Config) -> int:
    """Bytes of a synthetic row as it is made, and beside it in the classifier's space."""
    weight, space = networks.generator.output.weight, ClassifierSpace.configured(config.evaluation)
    return len(weight) * weight.element_size() + space.row_bytes(networks)


def rows_of_class(
    networks: Networks, problem: Problem, number: int, count: int, seed: int
) -> Tensor:
    """The first `count` synthetic rows, ``(count, d_x)``, of one of a problem's classes."""
    return synthesize_class(
        networks.generator,
        problem.semantics[number],
        number=int(problem.classes[number]),
        rows=slice(0, count),
        seed=seed,
    )


def _in_memory(networks: Networks, problem: Problem, config: Config, mine: slice) -> Rows:
    share = list(range(problem.seen_count, len(problem.classes)))[mine]
    count = config.evaluation.rows_per_class
    seed = config.train.seed
    parts = [rows_of_class(networks, problem, number, count, seed) for number in share]
    weight = networks.generator.output.weight
    features = torch.cat(parts) if parts else weight.new_empty(0, problem.feature_dim)
    labels = torch.tensor(share, dtype=torch.int64).repeat_interleave(count)
    return Rows(features, labels.to(weight.device))


def _written(
    path: Path, networks: Networks, problem: Problem, config: Config, processes: Processes
) -> Path:
    labels = np.sort(problem.classes[problem.seen_count :])
    # noise depends on the data set's numbers of the classes, so the bank has these too
    semantics = np.zeros((problem.classes.max() + 1, problem.semantic_dim), np.float32)
    semantics[problem.classes] = problem.semantics.cpu().numpy()
    embedding = (
        networks.embedding if ClassifierSpace.configured(config.evaluation).name == "h" else None
    )
    info = BankInfo(
        dataset_name=problem.note,
        dataset="",
        generator=fingerprint(networks.generator),
        embedding=fingerprint(embedding) if embedding else "",
        classes=tuple(map(str, range(len(semantics)))),
        semantics=semantics,
        semantics_norm=None,
        scaling=problem.scaling,
        seed=config.train.seed,
        step=0,
        labels=labels,
        counts=np.full(len(labels), config.evaluation.rows_per_class),
        width=problem.feature_dim,
        embedding_width=embedding.embed.out_features if embedding else 0,
        dtype="float32",
        compression="none",
        block_rows=1024,
    )
    maker = BlockMaker(networks.generator, embedding, info)
    write_bank(path, info, maker, processes, overwrite=True)
    return path
