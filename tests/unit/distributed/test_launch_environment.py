"""Rank and world size from torchrun's or Slurm's variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gzsl_dist.distributed import launch_environment
from gzsl_dist.errors import InputError

NAMES = (
    "RANK", "WORLD_SIZE", "LOCAL_RANK",
    "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_ID",
    "SLURM_STEP_NUM_TASKS",
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
        # a shell of salloc -n 4
        (SRUN | {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, (0, 1, 0)),
        (SRUN | {"SLURM_NTASKS": "9", "SLURM_STEP_NUM_TASKS": "8"}, (5, 8, 1)),  # srun -n 8 in -n 9
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


MEETING = {"MASTER_ADDR": "node1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("variables", "gpus"),
    [
        ({}, 8),
        (MEETING, 8),
        ({"WORLD_SIZE": "1"}, 8),
        ({"RANK": "0", "WORLD_SIZE": "1"}, 8),
        (TORCHRUN | MEETING, 8),
        ({"RANK": "1", "WORLD_SIZE": "2"} | MEETING, 1),
        (SRUN, 8),
        (SRUN | {"WORLD_SIZE": "8"}, 8),
        (SRUN | {"RANK": "5"} | MEETING, 8),
        (SRUN | TORCHRUN | MEETING, 8),
        ({"SLURM_PROCID": "5", "SLURM_NTASKS": "8"}, 8),
    ],
)
def test_complete_variables_pass(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], gpus: int
) -> None:
    monkeypatch.setattr(os, "environ", variables)
    launch_environment.check(gpus)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE = 2, but RANK, MASTER_ADDR, MASTER_PORT, LOCAL_RANK "),
        (TORCHRUN | {"WORLD_SIZE": ""} | MEETING, "WORLD_SIZE = ''"),
        ({"RANK": "0"} | MEETING, "RANK = 0, MASTER_ADDR = node1, .*but WORLD_SIZE, LOCAL_RANK "),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "but MASTER_ADDR, MASTER_PORT miss"),
        (TORCHRUN | {"MASTER_ADDR": "node1"}, "MASTER_ADDR = node1, .*but MASTER_PORT missing"),
        ({"RANK": "1", "WORLD_SIZE": "2"} | MEETING, "but LOCAL_RANK missing"),
        (TORCHRUN | MEETING | {"RANK": "4"}, "RANK = 4, but WORLD_SIZE = 4"),
        (TORCHRUN | MEETING | {"WORLD_SIZE": "0"}, "RANK = 2, but WORLD_SIZE = 0"),
        (TORCHRUN | MEETING | {"RANK": "-1"}, "RANK = '-1'"),
        (TORCHRUN | MEETING | {"LOCAL_RANK": "x"}, "LOCAL_RANK = 'x'"),
        (TORCHRUN | MEETING | {"MASTER_PORT": "http"}, "MASTER_PORT = 'http'"),
        (TORCHRUN | MEETING | {"MASTER_PORT": "70000"}, "MASTER_PORT = '70000'"),
        (SRUN | {"SLURM_PROCID": ""}, "SLURM_PROCID = ''"),
        ({"SLURM_STEP_ID": "0", "SLURM_NTASKS": "8"}, "SLURM_PROCID is missing"),
        (SRUN | {"WORLD_SIZE": "4", "SLURM_PROCID": "0"}, "WORLD_SIZE = 4, but SLURM_NTASKS = 8"),
        (SRUN | {"RANK": "5"}, "but MASTER_ADDR, MASTER_PORT missing"),
    ],
)
def test_what_is_missing_or_wrong_is_told(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    monkeypatch.setattr(os, "environ", variables)
    with pytest.raises(InputError, match=told) as error:
        launch_environment.check(8)
    assert ";" in str(error.value) or "must be" in str(error.value), "says what to do"


def test_a_job_number_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", SRUN | {"SLURM_JOB_ID": "x"})
    with pytest.raises(InputError, match="SLURM_JOB_ID = 'x'"):
        launch_environment.name_meeting_point()


def test_a_malformed_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "two")
    with pytest.raises(InputError, match="RANK = 'two'"):
        launch_environment.rank()
    assert launch_environment.is_reporting_process()


def test_srun_on_one_node_needs_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    variables: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", variables)
    launch_environment.name_meeting_point()
    assert variables == {}
    variables |= SRUN | {"SLURM_JOB_ID": "4711"}
    launch_environment.name_meeting_point()
    first = variables.pop("MASTER_PORT")
    assert (variables["MASTER_ADDR"], 1024 < int(first) < 65536) == ("127.0.0.1", True)
    variables["SLURM_STEP_ID"] = "1"
    launch_environment.name_meeting_point()
    assert variables["MASTER_PORT"] != first
    variables["MASTER_PORT"] = "1234"
    launch_environment.name_meeting_point()
    assert variables["MASTER_PORT"] == "1234"


def test_srun_on_two_nodes_asks_slurm_for_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nodes = {"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "gpu[3-4]", "PATH": str(tmp_path)}
    variables = SRUN | nodes
    monkeypatch.setattr(os, "environ", variables)
    with pytest.raises(InputError, match="set MASTER_ADDR"):
        launch_environment.name_meeting_point()
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(
        '#!/bin/sh\n[ "$*" = "show hostnames gpu[3-4]" ] && echo gpu3 && echo gpu4\n'
    )
    scontrol.chmod(0o755)
    launch_environment.name_meeting_point()
    assert variables["MASTER_ADDR"] == "gpu3"
