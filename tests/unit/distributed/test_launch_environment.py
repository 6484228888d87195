"""Rank and world size from torchrun's or Slurm's variables."""

from __future__ import annotations

import pytest

from gzsl_dist.distributed import launch_environment
from gzsl_dist.errors import InputError

NAMES = (
    "RANK", "WORLD_SIZE", "LOCAL_RANK",
    "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_ID",
)  # fmt: skip
SRUN = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}
TORCHRUN = {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (0, 1, 0)),
        (TORCHRUN, (2, 4, 0)),
        (SRUN, (5, 8, 1)),
        (SRUN | TORCHRUN, (2, 4, 0)),  # torchrun inside a job step
        (SRUN | {"SLURM_NTASKS": "1"}, (0, 1, 0)),
        ({"SLURM_PROCID": "5", "SLURM_NTASKS": "8"}, (0, 1, 0)),  # an sbatch script, not a step
    ],
)
def test_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: tuple[int, int, int]
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = (
        launch_environment.rank(),
        launch_environment.world_size(),
        launch_environment.local_rank(),
    )
    assert found == expected
    assert launch_environment.is_reporting_process() == (expected[0] == 0)


def test_a_malformed_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "two")
    with pytest.raises(InputError, match="RANK = 'two'"):
        launch_environment.rank()
    assert launch_environment.is_reporting_process()
