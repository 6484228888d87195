"""Rows that are encoded so far, in a folder beside the file that is being made.

``NAME.f32`` holds the rows at their places, ``NAME.RANK.jsonl`` of each process a line for each
batch that is whole on the disk. Killed at any moment, what has a line is there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_dist.data.dataset import FloatArray
from gzsl_dist.errors import InputError
from gzsl_dist.files import write_at


class PartFile:
    """Batches of rows; a batch is a fixed range of row numbers, whoever computes it.

    Args:
        folder: where it lies.
        name: of what is encoded.
        rows: how many there are.
        batch_size: rows of a batch; the last one may have fewer.
    """

    def __init__(self, folder: Path, name: str, rows: int, batch_size: int) -> None:
        self.folder, self.name, self.rows, self.batch_size = folder, name, rows, batch_size
        self.path = folder / f"{name}.f32"
        self.width: int | None = None
        self.bad: dict[int, str] = {}
        self.done: set[int] = set()
        self._journal: Any = None

    @property
    def batches(self) -> int:
        """How many there are."""
        return -(-self.rows // self.batch_size)

    def numbers(self, batch: int) -> range:
        """The rows of a batch."""
        first = batch * self.batch_size
        return range(first, min(first + self.batch_size, self.rows))

    def read_journals(self) -> None:
        """Find out what is done, by any process of any start.

        Of a batch that was tried again, what could be read by the best of them counts.

        Raises:
            InputError: batches have different widths.
        """
        bad_of: dict[int, dict[str, str]] = {}
        for path in sorted(self.folder.glob(f"{self.name}.*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    batch, width, bad = entry["batch"], entry["width"], entry["bad"]
                except (ValueError, KeyError, TypeError):
                    continue  # cut off by a kill: the batch is encoded again
                self._check_width(width)
                if batch not in bad_of or len(bad) < len(bad_of[batch]):
                    bad_of[batch] = bad
        self.done |= set(bad_of)
        self.bad = {int(row): text for bad in bad_of.values() for row, text in bad.items()}

    def _check_width(self, width: int) -> None:
        if self.width not in (None, width):
            raise InputError(
                f"the encoder of {self.name} gives {width} values, and gave {self.width} before; "
                "all rows need the same"
            )
        self.width = width

    def write(self, batch: int, values: FloatArray, bad: dict[int, str], rank: int) -> None:
        """Put a batch at its place, then note that it is there.

        Raises:
            OSError: the disk is full, or cannot be written.
            InputError: another width than before.
        """
        self._check_width(values.shape[1])
        place = 4 * self.numbers(batch).start * values.shape[1]
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            write_at(descriptor, np.ascontiguousarray(values, dtype="<f4").data, place)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        line = json.dumps({"batch": batch, "width": values.shape[1], "bad": bad})
        if self._journal is None:
            path = self.folder / f"{self.name}.{rank}.jsonl"
            self._journal = path.open("a", encoding="utf-8")
            line = f"\n{line}"  # the last line of an earlier start may have no end
        self._journal.write(f"{line}\n")
        self._journal.flush()
        self.done.add(batch)
        self.bad |= bad

    def read(self) -> FloatArray:
        """All rows, ``(rows, width)``, mapped from the disk."""
        if not self.rows:
            return np.empty((0, self.width or 0), dtype=np.float32)
        return np.memmap(self.path, dtype="<f4", mode="r", shape=(self.rows, self.width or 0))
