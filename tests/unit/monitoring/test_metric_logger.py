"""metrics.jsonl: one line a logged step, continued without gap or repetition."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.monitoring.metric_logger import MetricLogger
from gzsl_dist.run.metrics import read_metrics
from gzsl_dist.training.callbacks import Training, following

FIRST = DistributedContext(0, 1, torch.device("cpu"))


@contextmanager
def opened(directory: Path, done: int) -> Iterator[MetricLogger]:
    metric_logger = MetricLogger(FIRST)
    with following([metric_logger], Training("training", directory, {}, 1000, done)):
        yield metric_logger


def steps(path: Path) -> list[int]:
    return [line["step"] for line in read_metrics(path / "metrics.jsonl")]


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    with opened(tmp_path, 0) as metric_logger:
        for step in (10, 20, 30):
            metric_logger.log(step, {"critic/total_loss": step / 10})
    time.sleep(1.1)  # TensorBoard reads files in the order of their names: of the second they began
    with opened(tmp_path, 20) as metric_logger:
        metric_logger.log(30, {"critic/total_loss": 7.0})
    assert steps(tmp_path) == [10, 20, 30]
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["critic/total_loss"] == 7.0
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    shown = [(event.step, event.value) for event in events.Scalars("critic/total_loss")]
    assert shown == [(10, 1.0), (20, 2.0), (30, 7.0)]


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    with opened(tmp_path, 0) as metric_logger:
        metric_logger.log(10, {"a_loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "a_lo')
    assert steps(tmp_path) == [10]
    with opened(tmp_path, 10) as metric_logger:
        metric_logger.log(20, {"a_loss": 2.0})
    assert steps(tmp_path) == [10, 20]


def test_damage_inside_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nnot json\n{"step": 3}\n')
    with pytest.raises(InputError, match=r"metrics.jsonl: line 2"):
        read_metrics(tmp_path / "metrics.jsonl")


def test_a_disk_that_fills_up_under_tensorboards_thread_is_told_by_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill() -> None:
        with opened(tmp_path, 0) as metric_logger:
            monkeypatch.setattr(RecordWriter, "write", full)
            for step in range(1, 1001):
                metric_logger.log(step, {"a_loss": 1.0})

    told = monkeypatched_hook(monkeypatch)
    before = threading.excepthook
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        fill()
    assert told == [], "the thread's own traceback"
    assert threading.excepthook is before


def monkeypatched_hook(monkeypatch: pytest.MonkeyPatch) -> list[threading.ExceptHookArgs]:
    """What reaches the hook of threads from now on."""
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    return told


def test_failures_of_other_threads_are_still_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = monkeypatched_hook(monkeypatch)
    with opened(tmp_path, 0):
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()
    assert len(told) == 1
