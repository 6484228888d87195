"""metrics.jsonl and TensorBoard: what a run did, step by step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from gzsl_dist.distributed.processes import Processes
from gzsl_dist.errors import InputError
from gzsl_dist.files import write_whole


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics.jsonl; a last line cut off by a crash is left out.

    Raises:
        InputError: a line before the last is not one that a run wrote.
    """
    if not path.exists():
        return []
    metrics = []
    lines = path.read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
            metrics.append({"step": int(values["step"]), **values})
        except (ValueError, TypeError, KeyError):
            raise InputError(
                f"{path}: line {number} is not a logged step; delete that line, or the run"
            ) from None
    return metrics


class Logbook:
    """Appends logged steps; only the first process of a job writes.

    Args:
        directory: the run directory.
        processes: the job.
        step: steps that the run starts after; later lines of an interrupted run are dropped.
    """

    def __init__(self, directory: Path, processes: Processes, step: int) -> None:
        self._directory, self._processes = directory, processes
        processes.once(lambda: self._open(directory, step))

    def _open(self, directory: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        path = directory / "metrics.jsonl"
        try:
            kept = [line for line in read_metrics(path) if line["step"] <= step]
            write_whole(path, "".join(json.dumps(line) + "\n" for line in kept))
            self._file = path.open("a", encoding="utf-8")
            self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=step + 1)
        except OSError as error:
            raise _unwritable(directory, error) from None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the numbers of a step; every process must call.

        Raises:
            InputError: the disk is full, say.
        """
        self._processes.together(lambda: self._write(step, values))

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        if not self._processes.is_first:
            return
        try:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        except OSError as error:
            raise _unwritable(self._directory, error) from None

    def __enter__(self) -> Logbook:
        """Use as a context manager: closes the files at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the files."""
        if not self._processes.is_first:
            return
        for part in (self._file, self._board):
            try:
                part.close()
            except OSError as failure:
                if error is None:
                    raise _unwritable(self._directory, failure) from None


def _unwritable(directory: Path, error: OSError) -> InputError:
    return InputError(
        f"{directory}: metrics.jsonl or tensorboard cannot be written ({error.strerror or error}); "
        "make room and start the same command again"
    )
