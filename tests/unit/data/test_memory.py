"""What is free: the least of the machine, control groups, Slurm; of a GPU, its own memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gzsl_dist.data.memory import fits_in_memory, free_host_bytes

GIB = 2**30
VARIABLES = (
    "LOCAL_WORLD_SIZE",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_MEM_PER_NODE",
    "SLURM_MEM_PER_CPU",
    "SLURM_CPUS_ON_NODE",
)


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with 64 GiB free, this process holding 1 GiB."""
    put(tmp_path / "proc/meminfo", f"MemTotal: 1 kB\nMemAvailable: {64 * GIB // 1024} kB\n")
    put(tmp_path / "proc/self/status", f"VmRSS: {GIB // 1024} kB\n")
    return tmp_path


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_machine(root: Path) -> None:
    assert free_host_bytes(root) == 64 * GIB
    assert free_host_bytes() > 0


@pytest.mark.parametrize("at", ["job/step", "job", ""])
def test_a_control_group_of_version_2_or_its_parent(root: Path, at: str) -> None:
    put(root / "proc/self/cgroup", "0::/job/step\n")
    put(root / "sys/fs/cgroup/memory.max", "max\n")
    put(root / "sys/fs/cgroup" / at / "memory.max", f"{8 * GIB}\n")
    put(root / "sys/fs/cgroup" / at / "memory.current", f"{5 * GIB}\n")
    assert free_host_bytes(root) == 3 * GIB
    put(root / "sys/fs/cgroup" / at / "memory.stat", f"anon 1\ninactive_file {2 * GIB}\n")
    assert free_host_bytes(root) == 5 * GIB  # a cache of files can be given up


def test_a_control_group_of_version_1(root: Path) -> None:
    put(root / "proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/slurm/job_7\n")
    group = root / "sys/fs/cgroup/memory/slurm/job_7"
    put(group / "memory.limit_in_bytes", f"{4 * GIB}\n")
    put(group / "memory.usage_in_bytes", f"{GIB}\n")
    put(group.parent / "memory.limit_in_bytes", f"{2**63 - 4096}\n")
    put(group.parent / "memory.usage_in_bytes", f"{GIB}\n")
    assert free_host_bytes(root) == 3 * GIB


def test_a_container_that_sees_its_own_group_as_the_mount(root: Path) -> None:
    put(root / "proc/self/cgroup", "0::/docker/of/the/host\n")
    put(root / "sys/fs/cgroup/memory.max", f"{2 * GIB}\n")
    put(root / "sys/fs/cgroup/memory.current", "0\n")
    assert free_host_bytes(root) == 2 * GIB


def test_slurm(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")  # all of the machine
    assert free_host_bytes(root) == 64 * GIB
    monkeypatch.setenv("SLURM_MEM_PER_NODE", str(16 * 1024))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert free_host_bytes(root) == 14 * GIB
    monkeypatch.delenv("SLURM_MEM_PER_NODE")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "1024")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "8")
    assert free_host_bytes(root) == 6 * GIB
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "128")  # less than what is held already
    assert free_host_bytes(root) == 0


def test_a_gpus_memory_is_asked_for_what_a_gpu_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2 * GIB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: GIB)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("gzsl_dist.data.memory.free_host_bytes", lambda: 0)
    device = torch.device("cuda", 0)
    assert fits_in_memory(GIB, device)
    assert not fits_in_memory(GIB + 1, device)
    assert not fits_in_memory(1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")  # two on each
    assert not fits_in_memory(GIB // 2 + 1, device)
