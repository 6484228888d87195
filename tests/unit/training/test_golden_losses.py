"""20 steps of every method give the losses that they always gave: `golden_losses.json`.

The shapes are CUB's, 150 seen and 50 unseen classes, features of 2048 and semantics of 1024 values,
with four rows a class and narrow networks. ``python -m tests.unit.training.test_golden_losses``
writes the file anew, after a change that is meant to change the method.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gzsl_dist.config import Config
from gzsl_dist.config.nested import merge
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.problem import final_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.training.loop import Trainer
from tests.sizes import SMALL_NETWORKS

FILE = Path(__file__).with_name("golden_losses.json")
STEPS, CLASSES, SEEN = 20, 200, 150
SETTINGS: dict[str, dict[str, Any]] = {
    "iapc": {},
    "ce_gzsl": {},
    "supcon": {},
    "proxy_anchor": {},
    "wgan": {},
    "iapc, other forms": {
        "loss": {
            "prototype": {"form": "softmax", "source": "ema"},
            "instance": {"form": "robust"},
        }
    },
}
"""By method, and after a comma what else is set."""


def dataset() -> Dataset:
    """Values of which every bit is the same on every machine: sums and products of few numbers."""
    draw = np.random.default_rng(0)
    labels = np.arange(4 * CLASSES) % CLASSES
    means = draw.random((CLASSES, 2048), np.float32)
    rows = np.arange(len(labels))
    seen = labels < SEEN
    return Dataset(
        name="golden",
        features=means[labels] + draw.random((len(labels), 2048), np.float32),
        labels=labels,
        semantics=draw.random((CLASSES, 1024), np.float32) - np.float32(0.5),
        classes=tuple(f"class {number}" for number in range(CLASSES)),
        splits={
            "trainval": rows[seen & (rows >= CLASSES)],
            "test_seen": rows[seen & (rows < CLASSES)],
            "test_unseen": rows[~seen],
        },
    )


def losses(name: str) -> dict[str, list[float]]:
    """All losses of the steps, by their logged names."""
    common = {
        "method": name.split(",")[0],
        "data": {"semantics_norm": None},
        "model": SMALL_NETWORKS,
        "train": {"precision": "float64", "batch_size": 64, "critic_steps": 2},
    }
    config = Config.model_validate(merge(common, SETTINGS[name]))
    alone = DistributedContext(0, 1, torch.device("cpu"))
    strategy = choose_strategy(config.train, alone)
    trainer = Trainer(final_problem(dataset(), config), config, alone, strategy)
    draw = np.random.default_rng(1)
    for parameter in trainer.networks.parameters():  # torch draws by the processor's own functions
        parameter.data.copy_(torch.from_numpy(0.2 * draw.random(parameter.shape) - 0.1))
    steps = [trainer.train_step(step) for step in range(STEPS)]
    names = [key for key in steps[0] if key.endswith("_loss")]
    return {key: [float(step[key]) for step in steps] for key in names}


@pytest.mark.parametrize("name", SETTINGS)
def test_losses_are_the_golden_ones(name: str) -> None:
    golden = json.loads(FILE.read_text())[name]
    found = losses(name)
    assert found.keys() == golden.keys()
    for key, values in golden.items():
        assert found[key] == pytest.approx(values, rel=1e-9, abs=1e-12), key


if __name__ == "__main__":
    FILE.write_text(json.dumps({name: losses(name) for name in SETTINGS}, indent=0) + "\n")
