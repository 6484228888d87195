"""How long a run will take, as its log says it near the start, against what it takes."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from gzsl_dist import train
from gzsl_dist.monitoring import progress
from gzsl_dist.training.trainer import Trainer

SMALL = {
    "train.steps": 20, "train.batch_size": 16, "evaluation.rows_per_class": 5,
    "evaluation.iterations": 5, "evaluation.every": 20, "evaluation.folds": 1,
    "model.generator_hidden": 16, "model.critic_hidden": 16, "model.embedding_dim": 16,
    "model.projection_dim": 8, "model.comparator_hidden": 8, "log.every": 1,
}  # fmt: skip


def test_both_trainings_take_about_what_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BEFORE_FORECAST", 1.0)
    step = Trainer.train_step
    began: list[float] = []

    def slow(self: Trainer, number: int) -> object:
        time.sleep(0.3)  # what else the machine does counts for little
        began.append(time.monotonic())
        return step(self, number)

    monkeypatch.setattr(Trainer, "train_step", slow)
    settings = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    assert train.main([*settings, "--run.dir", str(tmp_path / "run")]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = [line for line in lines if "for the steps of all trainings" in line]
    assert len(said) == 1
    found = re.search(r"selection: about (?:(\d+) min )?(\d+) s for", said[0])
    assert found, said
    left = 60 * int(found[1] or 0) + int(found[2])
    at = lines.index(said[0])
    assert not any("training: step" in line for line in lines[:at])
    assert len(began) == 40, "a selection and a training"
    took = began[-1] - began[0]
    assert took / 2 < left < 2 * took
