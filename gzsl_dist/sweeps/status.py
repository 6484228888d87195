"""How far a sweep is: the state of every task, read from its run directory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gzsl_dist.errors import InputError
from gzsl_dist.files import read_json_object
from gzsl_dist.run.files import RunFiles
from gzsl_dist.run.state import is_alive, read_state
from gzsl_dist.sweeps.plan import Task

STATES = ("done", "running", "preempted", "interrupted", "failed", "missing")


@dataclass(frozen=True)
class TaskStatus:
    """A task's state, one of `STATES`; interrupted: it was killed and nobody said so.

    `progress` is the phase and its last logged step, or nothing; `note` is H where it is done (a
    search's on validation classes) or why there is none, else why the last start ended.
    """

    task: Task
    state: str
    progress: str
    note: str


def status_of(task: Task) -> TaskStatus:
    """State of one task."""
    directory = task.directory
    try:
        outcome = read_json_object(task.outcome, "")
        if task.searches:
            note = f"validation H {100 * outcome['validation']['H']:.1f}"
        else:
            note = outcome.get("note") or f"H {100 * outcome['H']:.1f}"
        return TaskStatus(task, "done", f"{outcome['steps']} steps", note)
    except (InputError, KeyError, TypeError):
        pass
    record, progress = read_state(directory), _progress(task)
    if record is None:
        # Older than state.json, or killed before it was written: there may be work to go on from.
        return TaskStatus(task, "interrupted" if progress else "missing", progress, "")
    if record.state == "running" and not is_alive(directory, record):
        return TaskStatus(task, "interrupted", progress, f"killed on {record.host}")
    if record.state == "done":  # but without its result
        return TaskStatus(task, "missing", progress, f"{task.outcome.name} is gone")
    note = record.reason if record.state != "running" else _place(record.host, record.job)
    return TaskStatus(task, record.state, progress, note)


def print_status(statuses: Sequence[TaskStatus]) -> None:
    """A table of all tasks, and how many are in which state."""
    table = Table()
    for column in ("", "run", "state", "progress", "note"):
        table.add_column(column, overflow="fold")
    for status in statuses:
        row = (str(status.task.index), status.task.name, status.state, status.progress, status.note)
        table.add_row(*row)
    console = Console()
    console.print(table)
    counts = [(sum(s.state == state for s in statuses), state) for state in STATES]
    told = ", ".join(f"{count} {state}" for count, state in counts if count)
    console.print(f"{len(statuses)} tasks: {told}", highlight=False)


def _progress(task: Task) -> str:
    files = RunFiles(task.directory)
    folds = files.folds(task.config.evaluation.folds)
    for title, training in (
        ("training", files),
        *(("selection", fold) for fold in reversed(folds)),
    ):
        step = _last_step(training.metrics)
        if step is not None:
            return f"{title} {step}/{task.config.train.steps}"
    return ""


def _last_step(path: Path) -> int | None:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 65536))
            lines = file.read().split(b"\n")[:-1]  # the last may be half written
        return int(json.loads(lines[-1])["step"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


def _place(host: str, job: str) -> str:
    return f"on {host}" + (f", job {job}" if job else "")
