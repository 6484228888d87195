"""A training of CUB's shapes and configs/cub.yaml's sizes, and its memory against the plan."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pytest
import torch

from gzsl_dist.config.command_line import add_setting_arguments, config_from_arguments
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.verification.check import Session
from gzsl_dist.verification.memory import LIBRARIES, MORE, measure

from ..devices.machine import Machine
from ..devices.test_whole_runs import figures, losses

STEPS = 4
PRECISIONS = ("float32", "bfloat16")
HALF = 5e-2  # how far losses in bfloat16 may be from those in float32, of the largest


@pytest.fixture(scope="module")
def runs(
    machine: Machine, cub: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A finished run in each precision."""
    folder = tmp_path_factory.mktemp("runs")
    for precision in PRECISIONS:
        done = machine.run(
            "train", *cub, "--train.precision", precision, "--run.dir", folder / precision,
            "--train.steps", STEPS, "--log.every", 1, "--evaluation.every", STEPS // 2,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"single, {machine.device}, {precision}" in done.stdout
    return {precision: folder / precision for precision in PRECISIONS}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_run_ends_with_figures(runs: dict[str, Path], precision: str) -> None:
    found = figures(runs[precision])
    assert all(0 <= value <= 1 for value in found.values()), found
    lines = losses(runs[precision] / "selection")
    assert len(lines) >= STEPS
    assert all(math.isfinite(value) for line in lines for value in line)


def test_half_precision_loses_little(runs: dict[str, Path]) -> None:
    """In the first step, before the two trainings go apart."""
    single, half = (losses(runs[name] / "selection")[0] for name in PRECISIONS)
    scale = max(map(abs, single))
    assert half == pytest.approx(single, abs=HALF * scale)
    assert half != single, "float32 under another name"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_peak_memory_is_that_of_the_plan(
    device: torch.device, cub: tuple[str, ...], precision: str, tmp_path: Path
) -> None:
    """At most 1.25 times what `--dry-run` predicts and 512 MiB, and at least half of it.

    The plan has neither temporaries nor libraries' work space. On the CPU, whose peak cannot be set
    back, only the former.
    """
    parser = argparse.ArgumentParser()
    add_setting_arguments(parser)
    config = config_from_arguments(parser.parse_args([*cub, "--train.precision", precision]), [])
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    taken, planned, _ = measure(Session(config, DistributedContext(0, 1, device), tmp_path))
    assert taken <= MORE * planned + LIBRARIES
    if device.type == "cuda":
        assert taken >= planned / 2
