"""What a classifier said of the rows that a problem is measured on; without torch."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from gzsl_dist.data.features import BLOCK_ROWS
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.metrics import ScoredRows
from gzsl_dist.files import atomic_write

SCORES = 1 << 21
"""Scores, or logits, held at once on a CPU: a cache holds so many. With 2^24, 6,000 classes are
scored in six times the time, and fitted in 1.6 times."""


def score_slices(rows: slice, classes: int) -> Iterator[slice]:
    """Blocks of rows whose scores of all classes are at most `SCORES`."""
    size = max(1, min(BLOCK_ROWS, SCORES // max(1, classes)))
    for first in range(rows.start, rows.stop, size):
        yield slice(first, min(first + size, rows.stop))


@dataclass(frozen=True)
class ScoredProblem:
    """A problem's test rows, scored."""

    seen: ScoredRows
    unseen: ScoredRows

    def save(self, path: Path) -> None:
        """Write as compressed NumPy arrays, whole or not at all."""
        arrays = {
            f"{group}/{field.name}": getattr(getattr(self, group), field.name)
            for group in ("seen", "unseen")
            for field in fields(ScoredRows)
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        atomic_write(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> ScoredProblem:
        """Read what `save` wrote.

        Raises:
            InputError: it cannot be read, or is something else.
        """
        try:
            with np.load(path) as arrays:
                seen, unseen = (
                    ScoredRows(**{f.name: arrays[f"{group}/{f.name}"] for f in fields(ScoredRows)})
                    for group in ("seen", "unseen")
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path}: damaged ({error}); delete the folder selection to choose anew"
            ) from None
        return cls(seen, unseen)
