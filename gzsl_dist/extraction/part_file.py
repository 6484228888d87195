"""Rows that are encoded so far, in a folder beside the file that is being made.

``NAME.f32`` holds the rows at their places, ``NAME.RANK.jsonl`` of each process a line for each
batch that is whole on the disk. Killed at any moment, what has a line is there. A line holds the
key of what its batch was made of; where that is another one now, the batch is encoded again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_dist.data.dataset import FloatArray
from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_write, write_at


class PartFile:
    """Batches of rows; a batch is a fixed range of row numbers, whoever computes it.

    Args:
        folder: where it lies.
        name: of what is encoded.
        rows: how many there are.
        batch_size: rows of a batch; the last one may have fewer.
        keys: of each batch, what it is made of.
    """

    def __init__(
        self, folder: Path, name: str, rows: int, batch_size: int, keys: Sequence[str] = ()
    ) -> None:
        self.folder, self.name, self.rows, self.batch_size = folder, name, rows, batch_size
        self.keys = keys
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

    def prune(self, *, overwrite: bool) -> int:
        """Forget batches of other keys, and those with bad rows, which may be readable now.

        One process calls it before any writes: a line left in a journal is then of what lies at
        its batch's place, whatever is written there later.

        Returns:
            How many batches of other keys there were.

        Raises:
            InputError: all are of other keys, and `overwrite` is off.
        """
        lines = list(self._lines())
        fresh = self._fresh(lines)
        if lines and not fresh and not overwrite:
            raise InputError(
                f"{self.folder}: holds an unfinished extraction of other {self.name}; give the "
                "same ones to resume it, or --overwrite to begin anew"
            )
        kept = [json.dumps(line) for line in fresh if not line["bad"]]
        first, *others = sorted({self._journal_of(0), *self._journals()})
        atomic_write(first, "".join(f"{line}\n" for line in kept))
        for path in others:
            path.unlink()
        return len({line["batch"] for line in lines} - {line["batch"] for line in fresh})

    def read_journals(self) -> None:
        """Find out what is done, by any process of any start.

        Raises:
            InputError: batches have different widths.
        """
        found = self._fresh(self._lines())
        for line in found:
            self._check_width(line["width"])
        self.done |= {line["batch"] for line in found}
        self.bad = {int(row): text for line in found for row, text in line["bad"].items()}

    def _fresh(self, lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        return [line for line in lines if line["key"] == self._key(line["batch"])]

    def _key(self, batch: int) -> str | None:
        if not self.keys:
            return ""
        return self.keys[batch] if batch < len(self.keys) else None

    def _journal_of(self, rank: int) -> Path:
        return self.folder / f"{self.name}.{rank}.jsonl"

    def _journals(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.name}.*.jsonl"))

    def _lines(self) -> Iterator[dict[str, Any]]:
        for path in self._journals():
            for text in path.read_text(encoding="utf-8").splitlines():
                try:
                    line = json.loads(text)
                    yield {name: line[name] for name in ("batch", "width", "bad", "key")}
                except (ValueError, KeyError, TypeError):
                    continue  # cut off by a kill: the batch is encoded again

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
        line = json.dumps(
            {"batch": batch, "width": values.shape[1], "bad": bad, "key": self._key(batch)}
        )
        if self._journal is None:
            self._journal = self._journal_of(rank).open("a", encoding="utf-8")
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
