"""What a check finds, and what all checks are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from gzsl_dist.config import Config
from gzsl_dist.config.sizes import DataShape
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.load import load_dataset
from gzsl_dist.data.problem import Problem, final_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import Strategy
from gzsl_dist.errors import InputError, OtherProcessError
from gzsl_dist.planning.plan import Plan, make_plan
from gzsl_dist.training.resume import Found, compatibility
from gzsl_dist.training.trainer import Trainer
from gzsl_dist.verification.small import small_config


@dataclass(frozen=True)
class Check:
    """One line of the table, the same on every process: what was checked, and what was found.

    The remedy, what to do, is shown where the check does not hold.
    """

    name: str
    holds: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Session:
    """What checks work with: the user's settings, the job, and a folder in the run directory.

    Every process must ask for a property at the same time; where any process cannot load or make
    what it is, all raise `InputError`.
    """

    config: Config
    processes: DistributedContext
    scratch: Path

    @cached_property
    def dataset(self) -> Dataset:
        """The user's data set, loaded once."""
        settings = self.config.data
        return self.processes.run_on_all_ranks(
            lambda: load_dataset(settings.path, settings.in_memory)
        )

    @cached_property
    def problem(self) -> Problem:
        """What the user's final training sees."""
        return final_problem(self.dataset, self.config)

    @cached_property
    def strategy(self) -> Strategy:
        """The user's strategy."""
        return self.processes.run_on_all_ranks(
            lambda: choose_strategy(self.config.train, self.processes)
        )

    @cached_property
    def plan(self) -> Plan:
        """What `--dry-run` predicts for this job."""
        problem = self.problem
        shape = DataShape(
            problem.seen_count, problem.feature_dim, problem.semantic_dim, len(problem.train)
        )
        return make_plan(self.config, shape, self.processes.world_size)

    @cached_property
    def small(self) -> Session:
        """The user's method, losses, strategy and precision in a training that takes seconds."""
        config = small_config(self.config, self.processes.world_size)
        return Session(config, self.processes, self.scratch)

    @cached_property
    def made(self) -> dict[str, Any]:
        """What checkpoints are made for."""
        return compatibility(self.problem.sizes, self.config, self.dataset.fingerprint)

    def trainer(self, found: Found | None = None) -> Trainer:
        """A trainer at its start, or at a checkpoint."""
        return Trainer(self.problem, self.config, self.processes, self.strategy, found)

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


def largest(processes: DistributedContext, value: float) -> float:
    """The largest of all processes' values; all must call. NaN counts as infinite."""
    value = value if value == value else float("inf")
    own = torch.tensor([value], dtype=torch.float64, device=processes.device)
    return float(processes.gather(own, [1] * processes.world_size).max())
