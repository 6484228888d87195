"""What a check finds, and what all checks are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.load import load_dataset
from gzsl_dist.data.problem import Problem, final_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.distributed.strategies import Strategy
from gzsl_dist.errors import InputError, OtherProcessError
from gzsl_dist.planning.plan import Plan, make_plan
from gzsl_dist.planning.shapes import DataShape


@dataclass(frozen=True)
class Check:
    """One line of the table, the same on every process.

    Attributes:
        name: what was checked.
        holds: whether it is as it must be.
        found: figures.
        remedy: what to do where it does not hold.
    """

    name: str
    holds: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Session:
    """What checks work with.

    Attributes:
        config: the user's settings.
        processes: the job.
        scratch: a folder for the checks' files, in the run directory; the same for all processes
            where the check of shared storage holds.
    """

    config: Config
    processes: Processes
    scratch: Path

    @cached_property
    def dataset(self) -> Dataset:
        """The user's data set, loaded once; every process must ask for it together.

        Raises:
            InputError: it cannot be loaded, by any process.
        """
        settings = self.config.data
        return self.processes.together(lambda: load_dataset(settings.path, settings.in_memory))

    @cached_property
    def problem(self) -> Problem:
        """What the user's final training sees; every process must ask for it together.

        Raises:
            InputError: as in `dataset`.
        """
        return final_problem(self.dataset, self.config)

    @cached_property
    def strategy(self) -> Strategy:
        """The user's strategy; every process must ask for it together.

        Raises:
            InputError: it cannot work here, for any process.
        """
        return self.processes.together(lambda: choose_strategy(self.config.train, self.processes))

    @cached_property
    def plan(self) -> Plan:
        """What `--dry-run` predicts for this job; every process must ask for it together.

        Raises:
            InputError: as in `dataset`.
        """
        problem = self.problem
        shape = DataShape(
            seen_count=problem.seen_count,
            feature_dim=problem.feature_dim,
            semantic_dim=problem.semantic_dim,
            rows=len(problem.train),
        )
        return make_plan(self.config, shape, self.processes.world_size)

    @property
    def name_in_plan(self) -> str:
        """How the plan calls the strategy; it has one process as DDP."""
        name = self.strategy.name.removeprefix("deepspeed, ")
        return "ddp" if name == "single" else name


MEND = "mend what it names, or use another --run.dir"

Checks = Callable[[Session], Iterator[Check]]


def failures_as_check(name: str, checks: Checks, session: Session) -> Iterator[Check]:
    """The checks; an error that all processes meet together is a check that does not hold.

    Raises:
        Exception: what is no `InputError`, a mistake of the program.
    """
    try:
        yield from checks(session)
    except InputError as error:
        text = f"another process of the job: {error}"
        if not isinstance(error, OtherProcessError):
            text = str(error)
        texts = session.processes.gather_objects(text)
        own = [one for one in texts if not one.startswith("another process")] or texts
        problem, _, remedy = own[0].rpartition("; ")
        yield Check(name, False, problem or own[0], remedy if problem else MEND)


def largest(processes: Processes, value: float) -> float:
    """The largest of all processes' values; all must call. NaN counts as infinite."""
    value = value if value == value else float("inf")
    own = torch.tensor([value], dtype=torch.float64, device=processes.device)
    return float(processes.gather(own, [1] * processes.world_size).max())
