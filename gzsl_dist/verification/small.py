"""A training small enough to be repeated: the user's method and losses on the embedded data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gzsl_dist.config import EMBEDDED, Config
from gzsl_dist.config.nested import merge
from gzsl_dist.data.load import load_dataset
from gzsl_dist.data.problem import Problem, final_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.distributed.strategies import Strategy
from gzsl_dist.training.resume import Found, made_for
from gzsl_dist.training.trainer import Trainer
from gzsl_dist.verification.check import Session

NETWORKS = {
    "noise_dim": 16,
    "generator_hidden": 64,
    "critic_hidden": 64,
    "embedding_dim": 32,
    "projection_dim": 16,
    "comparator_hidden": 16,
    "prototype_hidden": 16,
}
LARGEST_BATCH = 96


@dataclass(frozen=True)
class SmallTraining:
    """What a small training needs; `made` is what its checkpoints are made for."""

    config: Config
    processes: Processes
    strategy: Strategy
    problem: Problem
    made: dict[str, Any]

    @classmethod
    def of(cls, session: Session) -> SmallTraining:
        """Prepare one; every process must call.

        Raises:
            InputError: the strategy cannot work here.
        """
        processes, dataset = session.processes, load_dataset(EMBEDDED)
        config = small_config(session.config, processes.world_size)
        strategy = processes.together(lambda: choose_strategy(config.train, processes))
        problem = final_problem(dataset, config)
        made = made_for(problem, config, dataset.fingerprint)
        return cls(config, processes, strategy, problem, made)

    def trainer(self, found: Found | None = None) -> Trainer:
        """A trainer at its start, or at a checkpoint."""
        return Trainer(self.problem, self.config, self.processes, self.strategy, found)


def small_config(config: Config, world_size: int) -> Config:
    """The user's method, losses, strategy and precision on the embedded data, networks small."""
    batch = max(min(config.train.batch_size, LARGEST_BATCH), 2 * world_size + 1)
    small = {
        "data": {"path": EMBEDDED},
        "model": NETWORKS,
        "train": {"batch_size": batch, "micro_batch_size": None, "compile": False, "seed": 1},
        "evaluation": {
            "selection": "fixed",
            "calibration": "none",
            "calibration_factor": None,
            "folds": 1,
            "final": True,
            "rows_per_class": 20,
        },
    }
    return Config.model_validate(merge(config.model_dump(), small))
