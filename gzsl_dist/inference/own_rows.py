"""How right a model is on samples whose classes its user knows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.confusion import confused_pairs
from gzsl_dist.evaluation.metrics import harmonic_means, per_class_accuracy
from gzsl_dist.extraction.tables import TABLES, composed, read_lines, read_table
from gzsl_dist.inference.model import ZeroShotModel


def read_column(path: Path, name: str, rows: int, kept: Sequence[bool] | None = None) -> list[str]:
    """A text for each sample, in their order.

    Args:
        path: a table with a column of that name (`gzsl_dist.extraction.tables.read_table`), or a
            text with one a line.
        name: of the column.
        rows: how many samples there are.
        kept: which of all samples they are, where some were left out; the file may name all.

    Raises:
        InputError: it cannot be read, lacks the column, or has another number of lines.
    """
    if path.suffix.lower() in TABLES:
        texts = [str(row[name]).strip() for row in read_table(path, needs=(name,))]
    else:
        texts = [line.strip() for line in read_lines(path)]
    if kept is not None and len(texts) == len(kept):
        texts = [*compress(texts, kept)]
    if len(texts) != rows:
        raise InputError(
            f"{path}: {len(texts)} lines for {rows} rows of features; give each row one, in the "
            "same order"
        )
    return texts


def as_spelled(names: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Names as the model spells its classes: a letter and its accent may be apart (macOS)."""
    known = {composed(name): name for name in classes} | {name: name for name in classes}
    return [known.get(name, known.get(composed(name), name)) for name in names]


def score_rows(
    labels: Sequence[str],
    predicted: Sequence[str],
    model: ZeroShotModel,
    path: Path,
    left_out: Collection[str] = (),
) -> dict[str, Any]:
    """U, S and H of predictions, their classes' accuracies and the confusion, in fractions.

    Args:
        labels: true classes of the samples.
        predicted: those that the model gave.
        model: whose seen and unseen classes count apart; without labels of one side, its metric
            and H are left out.
        path: of the labels, for errors.
        left_out: classes that it knows but that do not compete, for errors.

    Returns:
        ``U``, ``S``, ``H``, ``per_class`` (``seen`` and ``unseen``) and ``confusion``, a list of
        (true class, predicted as, count).

    Raises:
        InputError: a label that is no class of the model.
    """
    numbers = {name: number for number, name in enumerate(model.classes)}
    labels = as_spelled(labels, [*model.classes, *left_out])
    if strange := sorted(set(labels) - set(numbers)):
        if kept_out := sorted(set(strange) & set(left_out)):
            raise InputError(
                f"{path}: {len(kept_out)} labels are classes that --classes keeps out, such as "
                f"{kept_out[0]!r}; name them in --classes, or give the rows of the others alone"
            )
        raise InputError(
            f"{path}: {len(strange)} labels are no class of the model, such as {strange[0]!r}; it "
            f"knows {len(numbers)}, such as {model.classes[0]!r} (--add-classes brings in more)"
        )
    true, found = (np.array([numbers[name] for name in names]) for names in (labels, predicted))
    per_class: dict[str, dict[str, float]] = {"seen": {}, "unseen": {}}
    for number, accuracy in per_class_accuracy(true, found).items():
        side = "seen" if number < model.card.seen_count else "unseen"
        per_class[side][model.classes[number]] = accuracy
    sides = (("U", per_class["unseen"]), ("S", per_class["seen"]))
    scores: dict[str, Any] = {name: float(np.mean([*of.values()])) for name, of in sides if of}
    if len(scores) == 2:
        scores["H"] = float(harmonic_means(scores["U"], scores["S"]))
    confusion = confused_pairs(true, found, model.classes)
    return scores | {"per_class": per_class, "confusion": confusion}
