"""Synthetic rows for the classifier: in memory, or in a file for as long as it is fitted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import torch
from torch import Tensor

from gzsl_dist.bank.generate import synthesize_class
from gzsl_dist.config import Config
from gzsl_dist.data.features import BLOCK_ROWS
from gzsl_dist.data.memory import fits_in_memory
from gzsl_dist.data.problem import Problem, Rows
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.classifier_space import ClassifierSpace, classifier_input
from gzsl_dist.models.networks import Networks
from gzsl_dist.run.files import RunFiles


@dataclass(frozen=True)
class SpilledRows:
    """This process's synthetic rows in the classifier's space, in a file.

    Attributes:
        file: their values, row by row.
        labels: ``(rows,)`` in the problem's numbering.
        like: ``(0, width)`` type and device of a row.
    """

    file: IO[bytes]
    labels: Tensor
    like: Tensor

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Read block by block; each is mapped alone, so that memory holds no more than that."""
        dtype, width = self.like.new_empty(0, device="cpu").numpy().dtype, self.like.shape[1]
        for first in range(0, len(self.labels), BLOCK_ROWS):
            labels = self.labels[first : first + BLOCK_ROWS]
            place, shape = first * width * dtype.itemsize, (len(labels), width)
            rows = np.array(np.memmap(self.file, dtype, "r", place, shape))
            yield torch.from_numpy(rows).to(self.like.device), labels.to(self.like.device)


@contextmanager
def synthetic_rows(
    networks: Networks, problem: Problem, config: Config, processes: DistributedContext
) -> Iterator[Rows | SpilledRows]:
    """This process's share of `evaluation.rows_per_class` rows of every unseen class.

    Rows that need too much memory (`evaluation.in_memory`) go to a file without a name in the run
    directory, read in every pass of the classifier, which ends with the process at the latest.

    Args:
        networks: whose generator makes the rows.
        problem: whose unseen classes they are of.
        config: rows per class, seed, run directory.
        processes: the job.

    Raises:
        InputError: the file cannot be written.
    """
    own = processes.shard(len(problem.classes) - problem.seen_count)
    classes, count = (
        range(problem.seen_count, len(problem.classes))[own],
        config.evaluation.rows_per_class,
    )
    weight, wanted = networks.generator.output.weight, config.evaluation.in_memory
    fits = wanted == "true" or (
        wanted == "auto"
        and fits_in_memory(len(classes) * count * row_bytes(networks, config), weight.device)
    )
    labels = torch.tensor(classes, dtype=torch.int64).repeat_interleave(count)
    made = (
        rows_of_class(networks, problem, number, count, config.train.seed) for number in classes
    )
    if not processes.all_reduce_any(not fits):
        empty = weight.new_empty(0, problem.feature_dim)
        yield Rows(torch.cat([empty, *made]), labels.to(weight.device))
        return
    folder, space = (
        RunFiles(config.run_dir).directory,
        ClassifierSpace.configured(config.evaluation),
    )

    def spill() -> SpilledRows:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = TemporaryFile(dir=folder)  # noqa: SIM115  open for as long as it is read
            like = classifier_input(networks, weight.new_empty(0, problem.feature_dim), space)
            for rows in made:
                file.write(classifier_input(networks, rows, space).cpu().numpy().data)
            file.flush()
        except OSError as error:
            raise InputError(
                f"{folder}: synthetic rows cannot be written ({error.strerror}); make room, or "
                "lower evaluation.rows_per_class"
            ) from None
        return SpilledRows(file, labels, like)

    spilled = processes.run_on_all_ranks(spill)
    with spilled.file:
        yield spilled


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
