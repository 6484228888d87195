"""Run a sweep on this machine: some tasks at a time, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from gzsl_dist.distributed.log import duration
from gzsl_dist.errors import GzslError, PreemptedError
from gzsl_dist.sweeps.plan import Task
from gzsl_dist.sweeps.status import status_of


class TasksFailedError(GzslError):
    """Some tasks of a sweep failed; the others are done."""


@dataclass
class LocalRunner:
    """Runs tasks, `jobs` at a time.

    Attributes:
        tasks: all of the sweep; those that are done are skipped.
        jobs: how many run at the same time.
    """

    tasks: Sequence[Task]
    jobs: int
    _running: dict[subprocess.Popen[bytes], tuple[Task, float]] = field(default_factory=dict)
    _seconds: list[float] = field(default_factory=list)
    _failed: list[str] = field(default_factory=list)
    _stops: int = 0

    def run(self) -> None:
        """Run all tasks.

        Raises:
            TasksFailedError: at least one failed.
            PreemptedError: stopped by SIGINT or SIGTERM; the tasks saved what they had.
        """
        waiting = []
        for task in self.tasks:
            state = status_of(task).state
            if state in ("done", "running"):
                self._say(task, f"{state} already, skipped")
            else:
                waiting.append(task)
        before = {number: signal.signal(number, self._stop) for number in
                  (signal.SIGINT, signal.SIGTERM)}  # fmt: skip
        try:
            while self._running or (waiting and not self._stops):
                while waiting and len(self._running) < self.jobs and not self._stops:
                    self._start(waiting.pop(0))
                time.sleep(0.1)
                self._reap(len(waiting))
        finally:
            for process in self._running:  # only where an error of our own ends us
                process.kill()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._stops:
            raise PreemptedError("sweep stopped; the same command resumes")
        if self._failed:
            raise TasksFailedError(
                f"{len(self._failed)} of {len(self.tasks)} tasks failed: "
                f"{', '.join(self._failed)}; the same command tries them again"
            )

    def _start(self, task: Task) -> None:
        log = log_of(task)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "gzsl_dist.train", *task.arguments]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, "--run.dir", str(task.directory)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"OMP_NUM_THREADS": "1"} | os.environ,
                start_new_session=True,  # Ctrl-C reaches us alone; we tell the tasks
            )
        self._running[process] = (task, time.monotonic())
        self._say(task, f"started; log in {log}")

    def _reap(self, waiting: int) -> None:
        for process in [process for process in self._running if process.poll() is not None]:
            task, started = self._running.pop(process)
            seconds = time.monotonic() - started
            status = status_of(task)
            if process.returncode == 0:
                self._seconds.append(seconds)
                self._say(task, f"done in {duration(seconds)}, {status.note}{self._left(waiting)}")
            elif process.returncode == 75:
                self._say(task, f"stopped after saving, {status.progress}")
            elif self._stops and process.returncode < 0:  # while it started, or killed
                self._say(task, "stopped")
            else:
                self._failed.append(task.name)
                reason = _last_error(log_of(task)) or f"exit code {process.returncode}"
                self._say(task, f"FAILED after {duration(seconds)}: {reason}")

    def _left(self, waiting: int) -> str:
        rest = waiting + len(self._running)
        if not rest:
            return ""
        mean = sum(self._seconds) / len(self._seconds)
        now = time.monotonic()
        spent = sum(min(now - started, mean) for _, started in self._running.values())
        return f"; {rest} left, about {duration((rest * mean - spent) / self.jobs)}"

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1
        # The second time they are not asked but killed; the newest checkpoint stays.
        sent = signal.SIGTERM if self._stops == 1 else signal.SIGKILL
        for process in self._running:
            process.send_signal(sent)
        if self._stops == 1:
            print("stopping: the tasks save; once more kills them", flush=True)

    def _say(self, task: Task, text: str) -> None:
        print(f"[{task.index + 1}/{len(self.tasks)}] {task.name}: {text}", flush=True)


def log_of(task: Task) -> Path:
    """Where a task's output goes."""
    return task.directory.parent / "logs" / f"{task.name}.log"


def _last_error(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line for line in lines if line.startswith("error: ")]
    return errors[-1].removeprefix("error: ") if errors else ""
