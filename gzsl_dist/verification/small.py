"""A small problem with the configured method, losses, strategy and precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.problem import Problem, final_problem
from gzsl_dist.distributed.checkpoint import Checkpoint, SavedState
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.distributed.strategies import SingleStrategy
from gzsl_dist.training.loop import Trainer
from gzsl_dist.training.resume import Found

CLASSES, PER_CLASS, FEATURES, SEMANTICS = 7, 12, 12, 5
SIZES = {
    "noise_dim": 4,
    "generator_hidden": 16,
    "critic_hidden": 16,
    "embedding_dim": 16,
    "projection_dim": 8,
    "comparator_hidden": 8,
    "prototype_hidden": 8,
}


def small_config(config: Config, world_size: int) -> Config:
    """The user's settings with small networks and a batch that no even share divides."""
    values = config.model_dump()
    values["model"] |= SIZES
    values["train"] |= {
        "batch_size": 8 * world_size + 3,
        "micro_batch_size": None,
        "compile": False,
    }
    return Config.model_validate(values)


def small_problem(config: Config) -> Problem:
    """Random rows of seen classes, and one unseen class, the same everywhere."""
    draw = np.random.default_rng(5)
    rows = (CLASSES + 1) * PER_CLASS
    seen = np.arange(CLASSES * PER_CLASS)
    dataset = Dataset(
        name="verification",
        features=draw.random((rows, FEATURES), dtype=np.float32),
        labels=np.arange(rows) // PER_CLASS,
        semantics=draw.standard_normal((CLASSES + 1, SEMANTICS)).astype(np.float32),
        classes=tuple(f"class {number}" for number in range(CLASSES + 1)),
        splits={
            "trainval": seen[seen % 4 > 0],
            "test_seen": seen[seen % 4 == 0],
            "test_unseen": np.arange(len(seen), rows),
        },
    )
    return final_problem(dataset, config)


def one_process(config: Config) -> Config:
    """The settings of the reference: one process holds all, and compares all rows."""
    values = config.model_dump()
    values["train"] |= {"strategy": "single"}
    values["loss"] |= {"negatives": "global"}
    return Config.model_validate(values)


def alone(device: torch.device) -> tuple[Processes, SingleStrategy]:
    """This process by itself, whatever the job."""
    return Processes(0, 1, device, quiet=True), SingleStrategy()


def start_state(problem: Problem, config: Config, device: torch.device) -> SavedState:
    """Weights far from the tiny start, where all is alike, and zero moments."""
    trainer = Trainer(problem, one_process(config), *alone(device))
    trainer.train_step(0)  # Adam has moments after a step only
    state = trainer.state(1)
    draw = torch.Generator().manual_seed(5)
    networks = {
        name: value.cpu() + 0.3 * torch.randn(value.shape, generator=draw).to(value.dtype)
        for name, value in state.networks.items()
    }
    optimizers = {
        side: {
            name: {key: torch.zeros_like(value, device="cpu") for key, value in values.items()}
            for name, values in parameters.items()
        }
        for side, parameters in state.optimizers.items()
    }
    return SavedState(0, networks, optimizers)


def start_from(state: SavedState) -> Found:
    """A state in the form that `Trainer` resumes from."""
    return Checkpoint(Path("verification"), state.step), state
