"""A user's own class follows a training: what it is told, and how it fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import final_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.training.callbacks import Callback, Training
from gzsl_dist.training.loop import fit
from gzsl_dist.training.stop_signal import StopSignal

ALONE = DistributedContext(0, 1, torch.device("cpu"))
TOLD: list[tuple[Any, ...]] = []


class Recorder(Callback):
    """Writes down all that it is told."""

    def start(self, training: Training) -> None:
        TOLD.append(("start", training))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        TOLD.append(("log", step, figures))

    def saved(self, step: int, checkpoint: Path) -> None:
        assert (checkpoint / "networks.safetensors").is_file()
        TOLD.append(("saved", step, checkpoint))

    def end(self, error: BaseException | None) -> None:
        TOLD.append(("end", error))


class Failing(Callback):
    def log(self, step: int, figures: Mapping[str, float]) -> None:
        raise ValueError("no connection")


def train(directory: Path, *callbacks: str, steps: int = 4) -> None:
    config = Config.model_validate(
        {
            "model": {
                "noise_dim": 4, "generator_hidden": 8, "critic_hidden": 8, "embedding_dim": 8,
                "projection_dim": 4, "comparator_hidden": 8, "prototype_hidden": 8,
            },
            "train": {"batch_size": 8, "critic_steps": 1, "callbacks": list(callbacks)},
            "log": {"every": 2},
            "checkpoint": {"every": 3},
        }
    )  # fmt: skip
    fit(
        final_problem(digits_dataset(), config), config, ALONE,
        choose_strategy(config.train, ALONE), directory, title="training", steps=steps,
        fingerprint="0", stop=StopSignal(),
    )  # fmt: skip


def test_a_callback_is_told_what_the_run_directory_holds(tmp_path: Path) -> None:
    TOLD.clear()
    train(tmp_path, f"{__name__}.Recorder")
    kinds = [event[0] for event in TOLD]
    assert kinds == ["start", "log", "saved", "log", "saved", "end"]
    training = TOLD[0][1]
    assert (training.title, training.steps, training.done) == ("training", 4, 0)
    assert training.settings["train.batch_size"] == 8
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    logged = [{"step": step, **figures} for kind, step, *rest in TOLD[1:-1] if kind == "log"
              for figures in rest]  # fmt: skip
    assert logged == lines
    assert [event[1] for event in TOLD if event[0] == "saved"] == [3, 4]
    assert TOLD[-1] == ("end", None)
    TOLD.clear()
    train(tmp_path, f"{__name__}.Recorder", steps=6)
    assert TOLD[0][1].done == 4
    assert [event[1] for event in TOLD if event[0] == "log"] == [6]


def test_what_a_callback_raises_ends_the_run_and_others_are_told(tmp_path: Path) -> None:
    TOLD.clear()
    with pytest.raises(ValueError, match="no connection"):
        train(tmp_path, f"{__name__}.Recorder", f"{__name__}.Failing")
    assert TOLD[-1][0] == "end"
    assert isinstance(TOLD[-1][1], ValueError)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing_such.Class", "cannot be loaded .No module named 'nothing_such'"),
        (f"{__name__}.Missing", "has no attribute 'Missing'"),
        ("Class", "cannot be loaded"),
        ("pathlib.Path", "is no subclass"),
    ],
)
def test_a_wrong_name_is_one_line(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        train(tmp_path, name)
    assert "\n" not in str(caught.value)
    assert "train.callbacks" in str(caught.value)
    assert not list(tmp_path.glob("metrics.jsonl")), sys.path
