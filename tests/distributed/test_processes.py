"""What processes do together, and that a failure of one is told once and ends all."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch

from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import DivergedError, InputError, OtherProcessError
from gzsl_dist.monitoring.metric_logger import MetricLogger
from gzsl_dist.run.metrics import read_metrics
from gzsl_dist.training.callbacks import Training, following
from gzsl_dist.training.loop import PendingLosses

from .spawn import run_processes

NONE = 9


@pytest.mark.parametrize("total", [0, 1, 3, 7, 8])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_shares_partition_everything(total: int, world_size: int) -> None:
    jobs = [DistributedContext(rank, world_size, torch.device("cpu")) for rank in range(world_size)]
    taken = [number for job in jobs for number in range(total)[job.shard(total)]]
    assert taken == list(range(total))
    sizes = jobs[0].shard_sizes(total)
    assert [len(range(total)[job.shard(total)]) for job in jobs] == sizes
    assert max(sizes) - min(sizes) <= 1


def fail_on_each(processes: DistributedContext) -> list[list[str]]:
    """How `together` ends here where process 0, 1 or none fails, and that the job can go on."""
    return [fail_on(processes, failing) for failing in (0, 1, NONE)]


def fail_on(processes: DistributedContext, failing: int) -> list[str]:
    def act() -> int:
        if processes.rank == failing:
            raise InputError("no such file")
        return processes.rank

    try:
        outcome = str(processes.run_on_all_ranks(act))
    except OtherProcessError:
        outcome = "silent"
    except InputError as error:
        outcome = f"{error}, speaks {error.speaks}"
    return [outcome, str(processes.run_on_rank0(lambda: 10 + processes.rank))]


def test_a_failure_anywhere_ends_all_and_is_told_once() -> None:
    for rank, outcomes in enumerate(run_processes(2, fail_on_each)):
        for failing, (outcome, after) in zip((0, 1, NONE), outcomes, strict=True):
            if failing == NONE:
                assert outcome == str(rank)
            elif rank == failing:
                where = f"process 1 on {socket.gethostname()}: " if rank else ""
                assert outcome == f"{where}no such file, speaks True"
            else:
                assert outcome == "silent"
            assert after == "10", "all get the first process's result"


def diverge(processes: DistributedContext, folder: str) -> list[str]:
    """How reading the losses of steps 5 to 7 ends where process 1 has a NaN at step 6; the log."""
    nan = torch.tensor(float("nan") if processes.rank else 1.0)
    parts = [{"a_loss": torch.tensor(1.0)}, {"a_loss": nan}, {"a_loss": torch.tensor(2.0)}]
    try:
        outcome = str(PendingLosses(processes, 5, parts).collect())
    except DivergedError as error:
        outcome = str(error)
    log_something(processes, folder)
    return [outcome, str(processes.all_reduce_any(processes.rank == 1))]


def log_something(processes: DistributedContext, folder: str) -> None:
    training = Training("training", Path(folder) / f"run{processes.rank}", {}, 10, 0)
    metric_logger = MetricLogger(processes)
    with following([metric_logger], training):
        metric_logger.log(10, {"a_loss": float(processes.rank)})


def test_a_nan_ends_all_at_its_step_and_only_the_first_process_writes_the_log(
    tmp_path: Path,
) -> None:
    for outcome, flag in run_processes(2, diverge, str(tmp_path)):
        assert outcome.startswith("training diverged: a_loss is nan at step 6;")
        assert flag == "True", "any"
    assert [line["step"] for line in read_metrics(tmp_path / "run0" / "metrics.jsonl")] == [10]
    assert not (tmp_path / "run1").exists()
