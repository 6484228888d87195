"""What processes do together, and that a failure of one is told once and ends all."""

from __future__ import annotations

from pathlib import Path

import pytest

from gzsl_dist.distributed.processes import Processes
from gzsl_dist.errors import InputError, OtherProcessError
from gzsl_dist.monitoring.logbook import Logbook, read_metrics

from .spawn import run_processes


@pytest.mark.parametrize("total", [0, 1, 3, 7, 8])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_shares_partition_everything(total: int, world_size: int) -> None:
    import torch

    jobs = [Processes(rank, world_size, torch.device("cpu")) for rank in range(world_size)]
    taken = [number for job in jobs for number in range(total)[job.share(total)]]
    assert taken == list(range(total))
    sizes = jobs[0].sizes(total)
    assert [len(range(total)[job.share(total)]) for job in jobs] == sizes
    assert max(sizes) - min(sizes) <= 1


def fail_on(processes: Processes, failing: int) -> list[str]:
    """How `together` ends here where one process fails, and that the job can go on."""

    def act() -> int:
        if processes.rank == failing:
            raise InputError("no such file")
        return processes.rank

    try:
        outcome = str(processes.together(act))
    except OtherProcessError:
        outcome = "silent"
    except InputError as error:
        outcome = f"{error}, speaks {error.speaks}"
    return [outcome, str(processes.once(lambda: 10 + processes.rank))]


@pytest.mark.parametrize("failing", [0, 1, 9])
def test_a_failure_anywhere_ends_all_and_is_told_once(failing: int) -> None:
    outcomes = run_processes(2, fail_on, failing)
    for rank, (outcome, after) in enumerate(outcomes):
        if failing == 9:
            assert outcome == str(rank)
        elif rank == failing:
            assert outcome == "no such file, speaks True"
        else:
            assert outcome == "silent"
        assert after == "10", "all get the first process's result"


def log_something(processes: Processes, folder: str) -> bool:
    with Logbook(Path(folder) / f"run{processes.rank}", processes, 0) as logbook:
        logbook.write(10, {"a_loss": float(processes.rank)})
    return processes.any(processes.rank == 1)


def test_only_the_first_process_writes_the_log(tmp_path: Path) -> None:
    assert run_processes(2, log_something, str(tmp_path)) == [True, True]
    assert [line["step"] for line in read_metrics(tmp_path / "run0" / "metrics.jsonl")] == [10]
    assert not (tmp_path / "run1").exists()
