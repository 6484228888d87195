"""Run programs in processes that are forked from a server, which has imported what they need.

An import of torch and DeepSpeed takes a processor five seconds, a fork a fiftieth. The server runs
no thread and computes nothing, so that what is forked is as good as new; `tests.preloaded` says
what it imports. What a real start is about (a launcher, what a command imports, when) is started
really: `tests.integration.commands.run_program`.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path

START_METHOD = "forkserver"
CONTEXT = get_context(START_METHOD)
OUTPUTS = {"stdout": 1, "stderr": 2}
CONTEXT.set_forkserver_preload(["tests.preloaded"])


class Forked:
    """A program that runs, as `subprocess.Popen` has it.

    Args:
        program: what would follow ``python``: ``-m``, a module and its arguments, or a file.
        folder: where it runs.
        environment: all of its variables.
    """

    def __init__(
        self, program: Sequence[object], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.args = list(map(str, program))
        self._written = tempfile.TemporaryDirectory()
        for name in OUTPUTS:
            Path(self._written.name, name).touch()
        self._process = CONTEXT.Process(
            target=_run, args=(self.args, folder, dict(environment), self._written.name),
            daemon=True,
        )  # fmt: skip
        self._process.start()
        self.pid = self._process.pid or 0

    def poll(self) -> int | None:
        """The exit code, negative for a signal, of a program that has ended."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """To the program, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def end(self, timeout: float) -> subprocess.CompletedProcess[str]:
        """Wait for its end.

        Args:
            timeout: seconds, after which it is killed.

        Raises:
            subprocess.TimeoutExpired: after them.
        """
        self._process.join(timeout)
        texts = [Path(self._written.name, name).read_text() for name in OUTPUTS]
        if (code := self.poll()) is None:
            self.kill()
            raise subprocess.TimeoutExpired(self.args, timeout, *texts)
        return subprocess.CompletedProcess(self.args, code, *texts)


def _run(program: list[str], folder: Path, environment: dict[str, str], written: str) -> None:
    assert "tests.preloaded" in sys.modules, "the fork server could not import tests.preloaded"
    # a program may have children of its own, such as DataLoader's workers; no public way says so
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, number in OUTPUTS.items():
        file = open(Path(written, name), "w", buffering=1)  # noqa: SIM115
        os.dup2(file.fileno(), number)
        setattr(sys, name, file)
    if program[0] == "-m":
        sys.argv = program[1:]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = program
        runpy.run_path(program[0], run_name="__main__")
