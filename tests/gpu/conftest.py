"""The device of these tests: a GPU, or with GZSL_TEST_DEVICE=cpu the CPU, to try the tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from ..devices.machine import Machine
from ..integration import commands

NO_GPU = (
    "torch.cuda.is_available() is False: no GPU here; GZSL_TEST_DEVICE=cpu runs most of these "
    "tests on the CPU, which says nothing about a GPU"
)


@dataclass(frozen=True)
class Real:
    """The device by the package's own commands.

    Its sums run in another order than the CPU's, and Adam turns the rounding of a gradient that is
    zero in exact arithmetic into whole steps: after a dozen steps in float64, losses may be apart
    by a ten-thousandth, and of some 800 test rows a few may lie on the other side of a boundary.
    """

    device: str
    processes: int
    figures: float = 1e-2
    losses: float = 1e-4

    def run(
        self, module: str, *arguments: object, processes: int = 1
    ) -> subprocess.CompletedProcess[str]:
        return commands.run_program(module, *arguments, processes=processes)

    def train_and_kill(self, call: int, *arguments: object) -> subprocess.CompletedProcess[str]:
        return commands.run_program_stopped(call, "SIGKILL", *arguments)


@pytest.fixture(scope="session", autouse=True)
def machine() -> Iterator[Machine]:
    """The device, as many processes as there are of it; the tests skip where there is none."""
    device = os.environ.get("GZSL_TEST_DEVICE", "cuda")
    assert device in ("cpu", "cuda"), f"GZSL_TEST_DEVICE={device}: must be cpu or cuda"
    with pytest.MonkeyPatch.context() as patch:
        if device == "cpu":  # for all commands, those that choose a device for themselves too
            patch.setenv("CUDA_VISIBLE_DEVICES", "")
            yield Real("cpu", 2)
            return
        if not torch.cuda.is_available():
            pytest.skip(NO_GPU)
        torch.set_float32_matmul_precision("highest")  # no TF32
        yield Real("cuda", torch.cuda.device_count())


@pytest.fixture(scope="session")
def device(machine: Machine) -> torch.device:
    """The device of tests that run in this process."""
    return torch.device("cpu") if machine.device == "cpu" else torch.device("cuda", 0)


@pytest.fixture(scope="session")
def cub(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Settings of configs/cub.yaml, on simulated rows; with smaller layers where it is the CPU."""
    folder = tmp_path_factory.mktemp("cub")
    rows = ("--rows", 1600) if machine.device == "cpu" else ()
    done = commands.run("simulate", folder, "--like", "cub", *rows)
    assert done.returncode == 0, done.stderr
    settings = ["--config", str(commands.ROOT / "configs" / "cub.yaml"), "--data.path", str(folder)]
    settings += ["--train.device", machine.device]
    if machine.device == "cpu":
        settings += ["--train.batch_size", "128", "--model.generator_hidden", "256"]
        settings += ["--model.critic_hidden", "256", "--model.embedding_dim", "128"]
        settings += ["--evaluation.rows_per_class", "10", "--evaluation.iterations", "10"]
    return tuple(settings)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)
