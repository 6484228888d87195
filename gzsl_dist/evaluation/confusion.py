"""What unseen test rows were taken for, as counts of pairs of classes by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_dist.evaluation.metrics import Integers, ScoredRows
from gzsl_dist.files import atomic_write, read_json_object
from gzsl_dist.run.files import RunFiles

MOST_PAIRS = 100_000  # with tens of thousands of classes, rarer mistakes are left out

Pairs = list[tuple[str, str, int]]


def write_confusion(
    directory: Path, unseen: ScoredRows, names: Sequence[str], factor: float
) -> None:
    """Write ``confusion.json``.

    It holds ``rows`` (test rows of each unseen class) and lists of (true class, taken for, count):
    ``among_unseen``, only unseen classes competing (T1), and ``all_classes``, calibrated (U).

    Args:
        directory: the run directory.
        unseen: scored rows of unseen classes.
        names: of all classes of the problem.
        factor: of calibrated stacking.
    """
    classes, counts = np.unique(unseen.labels, return_counts=True)
    content = {
        "rows": {names[label]: int(count) for label, count in zip(classes, counts, strict=True)},
        "among_unseen": confused_pairs(unseen.labels, unseen.best_unseen, names),
        "all_classes": confused_pairs(unseen.labels, unseen.predictions(factor), names),
    }
    atomic_write(RunFiles(directory).confusion, json.dumps(content, ensure_ascii=False))


def read_confusion(directory: Path) -> dict[str, Any] | None:
    """What `write_confusion` wrote into a run directory; None if it did not.

    Raises:
        InputError: damaged.
    """
    if not RunFiles(directory).confusion.exists():
        return None
    return read_json_object(
        RunFiles(directory).confusion, "measure again: python -m gzsl_dist.evaluate --details"
    )


def confused_pairs(labels: Integers, predictions: Integers, names: Sequence[str]) -> Pairs:
    """(True class, taken for, count), right ones too, most frequent first."""
    if not len(labels):
        return []
    pairs, counts = np.unique(np.stack([labels, predictions]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_PAIRS]
    return [(names[pairs[0, at]], names[pairs[1, at]], int(counts[at])) for at in order]
