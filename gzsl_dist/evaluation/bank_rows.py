"""Rows of a bank for the classifier: in memory where they fit, else read anew for every pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gzsl_dist.bank.layout import Column
from gzsl_dist.bank.reader import BankReader
from gzsl_dist.data.problem import Problem, Rows
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.models.fingerprint import fingerprint
from gzsl_dist.models.networks import Networks


@dataclass(frozen=True)
class BankRows:
    """This process's share of a bank's rows of unseen classes.

    Attributes:
        reader: the bank.
        classes: names of the problem's unseen classes.
        problem: gives the labels' numbers.
        blocks: this process's blocks.
        column: what is read.
    """

    reader: BankReader
    classes: tuple[str, ...]
    problem: Problem
    blocks: range
    column: Column

    def __iter__(self) -> Iterator[Rows]:
        """Read the blocks; scaled, in float32, labels in the problem's numbering."""
        info = self.reader.info
        for batch in self.reader.blocks(self.classes, numbers=self.blocks, column=self.column):
            inputs = batch.inputs
            if info.units == "original" and not self.embedded:
                inputs = torch.from_numpy(self.problem.scaling(inputs.numpy()))
            numbers = self.problem.numbers(batch.labels.numpy())
            yield Rows(inputs, torch.from_numpy(numbers))

    @property
    def embedded(self) -> bool:
        """Whether the rows are in the classifier's space already."""
        return self.column == "embeddings"

    def bytes(self, row_bytes: int) -> int:
        """Memory that all processes' rows take in float32, beside `row_bytes` a row besides."""
        width = self.reader.width(self.column)
        return (4 * width + row_bytes) * self.reader.select(self.classes).rows

    def in_memory(self) -> Rows:
        """All of this process's rows."""
        parts = list(self)
        width = self.reader.width(self.column)
        empty = Rows(torch.empty(0, width), torch.empty(0, dtype=torch.int64))
        return Rows(
            torch.cat([empty.features[:], *(part.features[:] for part in parts)]),
            torch.cat([empty.labels, *(part.labels for part in parts)]),
        )


def bank_weights(reader: BankReader, problem: Problem, rows_per_class: int) -> torch.Tensor:
    """``(classes,)`` what a row of each class counts, so that a bank's size is no prior.

    A class of a bank counts as much as `rows_per_class` rows, however many it has: a larger bank
    estimates the same objective with less noise, and the calibration factor still fits.
    """
    counts = [reader.class_counts[name] for name in problem.names[problem.seen_count :]]
    return torch.cat([torch.ones(problem.seen_count), rows_per_class / torch.tensor(counts)])


def check_fits(
    reader: BankReader,
    problem: Problem,
    networks: Networks,
    dataset: str,
    *,
    force: bool,
) -> None:
    """Check that a bank was made from this data set by this generator.

    Args:
        reader: the bank.
        problem: what it is used for.
        networks: of the run.
        dataset: fingerprint of the run's data set.
        force: use a bank of another data set, generator or scaling all the same.

    Raises:
        InputError: it was not; with `force`, only if its features have another width.
    """
    info, path = reader.info, reader.path
    if info.width != problem.feature_dim:
        raise InputError(
            f"{path}: features of {info.width} values, the run's have {problem.feature_dim}; "
            "synthesize a bank from this run"
        )
    if force:
        return
    generator = fingerprint(networks.generator)
    for thing, theirs, ours in (
        ("for a data set", info.dataset_fingerprint, dataset),
        ("by a generator", info.generator_fingerprint, generator),
    ):
        if theirs != ours:
            raise InputError(
                f"{path}: made {thing} with fingerprint {theirs}, the run's has {ours}; "
                "synthesize a bank from this run, or give --force"
            )
    scaling = problem.scaling
    if (
        info.scaling.transform != scaling.transform
        or not np.array_equal(info.scaling.minimum, scaling.minimum)
        or not np.array_equal(info.scaling.extent, scaling.extent)
    ):
        raise InputError(
            f"{path}: its features are scaled in another way than the run's; synthesize a bank "
            "from this run, or give --force"
        )


def bank_rows(
    reader: BankReader,
    problem: Problem,
    names: tuple[str, ...],
    networks: Networks,
    space: str,
    processes: DistributedContext,
) -> BankRows:
    """This process's share of a bank's rows of the problem's unseen classes.

    Stored embeddings are used where they are what the run's own network says.

    Args:
        reader: the bank.
        problem: what is measured.
        names: of the data set's classes.
        networks: of the run.
        space: the classifier's.
        processes: the job.

    Raises:
        InputError: the bank lacks unseen classes, or a shard is missing or damaged.
    """
    if reader.info.classes != names:
        raise InputError(
            f"{reader.path}: of other classes than the run's data set; give a bank of this run"
        )
    unseen = tuple(names[number] for number in problem.classes[problem.seen_count :])
    lacking = [name for name in unseen if name not in reader.class_counts]
    if lacking:
        raise InputError(
            f"{reader.path}: lacks unseen classes, {lacking[0]} and {len(lacking) - 1} more; "
            "synthesize them all"
        )
    reader.check_shards()
    column: Column = "features"
    if space == "h" and networks.embedding is not None and reader.info.embedding_width:
        same = reader.info.embedding_fingerprint == fingerprint(networks.embedding)
        column = "embeddings" if same else "features"
    blocks = -(-reader.select(unseen).rows // reader.info.block_rows)
    share = processes.shard(blocks)
    return BankRows(reader, unseen, problem, range(share.start, share.stop), column)
