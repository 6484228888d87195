"""Training from features on disk is training from features in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from .commands import SMALL, run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    done = run("simulate", folder, "--like", "awa2", "--rows", 600)
    assert done.returncode == 0, done.stderr
    return folder


def train(data: Path, directory: Path, in_memory: str, processes: int = 1) -> dict[str, object]:
    done = run(
        "train", *SMALL, "--data.path", data, "--run.dir", directory, "--data.in_memory", in_memory,
        processes=processes,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ("features stay on disk" in done.stdout) == (in_memory == "false")
    result = json.loads((directory / "result.json").read_text())
    return {name: result[name] for name in ("U", "S", "H", "T1", "AUSUC", "per_class", "dataset")}


@pytest.mark.parametrize("processes", [1, 2])
def test_weights_and_figures_are_the_same(data: Path, tmp_path: Path, processes: int) -> None:
    found = [
        train(data, tmp_path / in_memory, in_memory, processes) for in_memory in ("true", "false")
    ]
    assert found[0] == found[1]
    newest = "checkpoints/step-00000012/networks.safetensors"
    ours, theirs = (load_file(tmp_path / name / newest) for name in ("false", "true"))
    assert all((ours[name] == theirs[name]).all() for name in theirs)
