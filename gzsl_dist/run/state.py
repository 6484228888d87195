"""state.json in a run directory: whether the run goes on, and how its last start ended."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from gzsl_dist.errors import GzslError, InputError, InterruptedRunError, PreemptedError
from gzsl_dist.files import atomic_write, exclusive_lock, read_json_object
from gzsl_dist.run.files import RunFiles

SILENT_SECONDS = 600.0
"""A run on another machine that wrote nothing for so long is taken for dead."""


@dataclass(frozen=True)
class RunState:
    """What the newest start of a run says of itself.

    Attributes:
        state: ``running``, ``done``, ``preempted`` or ``failed``.
        exit_code: of the trainer; -1 while it runs.
        reason: one line, empty where all is well.
        host: machine of the first process.
        job: Slurm's number of the job, or nothing.
        time: of this record, in seconds since 1970.
    """

    state: str
    exit_code: int
    reason: str
    host: str
    job: str
    time: float

    def write(self, directory: Path) -> None:
        """Write whole or not at all.

        Raises:
            InputError: the file cannot be written.
        """
        atomic_write(
            RunFiles(directory).state, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
        )


@contextmanager
def recorded_state(directory: Path, writes: bool) -> Iterator[None]:
    """Record that a run goes on, and how it ends.

    Args:
        directory: of the run; no other start may be in it.
        writes: whether this process writes; one of the job.
    """
    state = RunState(
        "running", -1, "", socket.gethostname(), os.environ.get("SLURM_JOB_ID", ""), time.time()
    )
    if not writes:
        yield
        return
    state.write(directory)
    try:
        yield
    except BaseException as error:
        name, code = "failed", 1
        if isinstance(error, GzslError):
            code = error.exit_code
        if isinstance(error, KeyboardInterrupt):
            error = InterruptedRunError("interrupted between training steps")
            code = error.exit_code
        if isinstance(error, PreemptedError):
            name = "preempted"
        reason = " ".join(str(error).split()) or type(error).__name__
        _end(state, directory, name, code, reason)
        raise
    _end(state, directory, "done", 0, "")


def read_state(directory: Path) -> RunState | None:
    """The record in a run directory, or None where there is none that can be read."""
    try:
        return RunState(**read_json_object(RunFiles(directory).state, ""))
    except (InputError, TypeError):
        return None


def is_alive(directory: Path, state: RunState) -> bool:
    """Whether a run whose record says ``running`` still does, as far as can be seen from here."""
    if state.host != socket.gethostname():  # locks are not shared by all network file systems
        files = [RunFiles(directory).state, *directory.glob("**/metrics.jsonl")]
        newest = max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
        return time.time() - newest < SILENT_SECONDS
    try:
        with (RunFiles(directory).lock).open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def lock_run(directory: Path) -> IO[str]:
    """Keep other jobs out of a run directory as long as the file is open.

    Raises:
        InputError: another job is in it, or it cannot be written.
    """
    try:
        return exclusive_lock(
            RunFiles(directory).lock,
            f"run directory {directory}",
            busy=f"run directory {directory} is in use by another job; wait for it, or use another "
            "--run.dir",
            remedy="use a --run.dir on a file system with locks",
        )
    except OSError as error:
        raise unwritable(directory, error) from None


def unwritable(directory: Path, error: OSError) -> InputError:
    """What is said of a run directory that the system refuses."""
    return InputError(
        f"run directory {directory}: cannot be written ({error.strerror}); choose another --run.dir"
    )


def _end(state: RunState, directory: Path, name: str, code: int, reason: str) -> None:
    try:
        replace(state, state=name, exit_code=code, reason=reason, time=time.time()).write(directory)
    except InputError:
        # A full disk must not hide why the run ended.
        if code == 0:
            raise
