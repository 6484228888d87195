"""GPUs that a job has and torch cannot use are reported; a wish for the CPU is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from gzsl_dist.distributed.allotted_gpus import allotted_gpus, unused_gpus_warning
from gzsl_dist.distributed.processes import start_processes

JOB = {"SLURM_JOB_ID": "1"}


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        ({}, 3),  # the device files
        (JOB, 0),  # which in a job may be those of others
        (JOB | {"SLURM_GPUS_ON_NODE": "4"}, 4),
        (JOB | {"SLURM_GPUS_ON_NODE": "0"}, 0),
        (JOB | {"SLURM_JOB_GPUS": "0,2-3"}, 3),
        (JOB | {"SLURM_STEP_GPUS": "1", "SLURM_JOB_GPUS": "0,1"}, 1),
        (JOB | {"SLURM_GPUS_ON_NODE": "4", "CUDA_VISIBLE_DEVICES": "2"}, 1),
        (JOB | {"SLURM_GPUS_ON_NODE": "4", "CUDA_VISIBLE_DEVICES": ""}, 0),
        (JOB | {"SLURM_GPUS_ON_NODE": "4", "CUDA_VISIBLE_DEVICES": "-1"}, 0),
        (JOB | {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 0),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, 2),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, 1),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937,MIG-GPU-8932f937/1/2"}, 2),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, 0),
    ],
)
def test_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], count: int
) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    monkeypatch.setattr(os, "environ", variables)
    assert allotted_gpus(tmp_path)[0] == count
    assert (unused_gpus_warning(tmp_path) is None) == (count == 0)


@pytest.mark.parametrize(
    ("cuda", "told"),
    [(None, "built without CUDA"), ("12.6", "built for CUDA 12.6, cannot use them")],
)
def test_the_first_process_warns_once(
    cuda: str | None,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    for name in ("RANK", "WORLD_SIZE", "SLURM_STEP_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with start_processes(quiet=True) as processes:
        assert processes.device.type == "cpu"
    warning = capsys.readouterr().err
    assert warning.startswith("warning: this job has 2 GPU(s) (CUDA_VISIBLE_DEVICES = 0,1), but ")
    assert torch.__version__ in warning
    assert told in warning
    assert warning.count("\n") == 1
    with start_processes("cpu"):
        pass
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with start_processes():
        pass
    assert capsys.readouterr().err == ""
