"""What a classifier said of the rows that a problem is measured on; without torch."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.metrics import ScoredRows
from gzsl_dist.files import atomic_write


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
