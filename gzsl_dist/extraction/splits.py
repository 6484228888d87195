"""Seen and unseen classes, validation classes and held-out rows of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gzsl_dist.data.arrays import splits_by_class
from gzsl_dist.data.dataset import IntArray
from gzsl_dist.data.draws import Stream, held_out_rows, permutation
from gzsl_dist.errors import InputError
from gzsl_dist.extraction.classes import ClassTable
from gzsl_dist.extraction.images import ImageEntry
from gzsl_dist.extraction.tables import alike, composed, read_lines

LEAST_SEEN = 4
"""Seen classes without which none is put aside for validation."""


@dataclass(frozen=True)
class SplitRule:
    """How classes and rows are split.

    Attributes:
        unseen: names of unseen classes; None leaves it to the class file and to the images.
        held_out: share of each seen class's images that become test rows.
        validation: share of seen classes for validation; None takes that of unseen ones in all.
        seed: of both draws.
    """

    unseen: frozenset[str] | None
    held_out: float = 0.2
    validation: float | None = None
    seed: int = 0


def read_unseen(path: Path, names: Sequence[str]) -> frozenset[str]:
    """Read a list of unseen classes, one a line.

    Raises:
        InputError: unreadable, or it names what is no class.
    """
    found = frozenset(composed(line.strip()) for line in read_lines(path) if line.strip())
    if unknown := sorted(found - set(names)):
        raise InputError(
            f"{path}: {unknown[0]!r} is no class of the class file{alike(unknown[0], names)} "
            f"({len(unknown)} such names); write names as they stand there"
        )
    return found


def check_labels(entries: Sequence[ImageEntry], names: Sequence[str], where: str) -> None:
    """See that every image's class is in the class file.

    Raises:
        InputError: one is not.
    """
    known = set(names)
    strange = Counter(entry.label for entry in entries if entry.label not in known)
    if strange:
        label = next(entry.label for entry in entries if entry.label not in known)
        raise InputError(
            f"{where}: class {label!r} ({strange[label]} images) is not in the class file"
            f"{alike(label, names)} ({len(strange)} such classes); add a line for it or remove its "
            "images"
        )


def split_rows(
    entries: Sequence[ImageEntry], table: ClassTable, rule: SplitRule, *, strict: bool
) -> tuple[IntArray, dict[str, IntArray]]:
    """Labels and splits of images; equal for equal images, classes and rule.

    Args:
        entries: labelled images.
        table: the class file.
        rule: how to split.
        strict: refuse a class without images that nobody called unseen.

    Returns:
        ``(rows,)`` labels, and 0-based rows by the names of splits.

    Raises:
        InputError: no seen class is left, or one has too few images.
    """
    number = {name: index for index, name in enumerate(table.names)}
    labels = np.array([number[entry.label] for entry in entries], dtype=np.int64)
    is_test = np.array([entry.split == "test" for entry in entries], dtype=bool)
    given = np.array([bool(entry.split) for entry in entries], dtype=bool)
    counts = np.bincount(labels, minlength=len(table.names))
    trainable = np.bincount(labels[~is_test], minlength=len(table.names))
    named = _named_unseen(table, rule)
    if strict and len(imageless := np.flatnonzero(counts == 0)):
        missing = [table.names[n] for n in imageless if table.names[n] not in (named or ())]
        if missing:
            raise InputError(
                f"--strict: class {missing[0]!r} has no images ({len(missing)} such classes); add "
                "some, name it as unseen, or leave --strict out"
            )
    unseen = np.array([name in (named or ()) for name in table.names]) | (trainable == 0)
    if not unseen.any():
        raise InputError(
            "no class is unseen: each has images to train on; name some with --unseen FILE"
        )
    if unseen.all():
        raise InputError("every class is unseen; at least two need images to train on")
    if (~unseen).sum() < 2:
        raise InputError(
            f"class {table.names[int(np.flatnonzero(~unseen)[0])]!r} is the only seen one; at "
            "least two need images to train on"
        )
    free = ~given & ~unseen[labels]
    few = np.flatnonzero((~unseen) & (np.bincount(labels[free], minlength=len(counts)) == 1))
    if len(few) and rule.held_out > 0:
        raise InputError(
            f"class {table.names[few[0]]!r} has one image ({len(few)} such classes), but a seen "
            "class needs one to train on and one to test on; add images, name it as unseen, or "
            "give --held-out 0"
        )
    is_test |= held_out_rows(labels, rule.held_out, rule.seed, free)
    validation = _validation_classes(table, rule, unseen)
    return labels, splits_by_class(labels, unseen, is_test, validation)


def _named_unseen(table: ClassTable, rule: SplitRule) -> frozenset[str] | None:
    """Classes that somebody called unseen; None where nobody said which are."""
    if rule.unseen is None and any(table.splits):
        pairs = zip(table.names, table.splits, strict=True)
        return frozenset(name for name, split in pairs if split == "unseen")
    return rule.unseen


def lacking_images(entries: Sequence[ImageEntry], table: ClassTable, rule: SplitRule) -> str:
    """A note on classes that are unseen for want of images alone; empty where that was the rule."""
    if (named := _named_unseen(table, rule)) is None:
        return ""
    known = named | {entry.label for entry in entries if entry.split != "test"}
    if not (lacking := [name for name in table.names if name not in known]):
        return ""
    return (
        f"images to train on of {len(lacking)} classes that nobody called unseen, such as "
        f"{lacking[0]!r}: they count as unseen"
    )


def _validation_classes(
    table: ClassTable, rule: SplitRule, unseen: np.ndarray[tuple[int], np.dtype[np.bool]]
) -> np.ndarray[tuple[int], np.dtype[np.bool]]:
    seen = np.flatnonzero(~unseen)
    chosen = np.zeros(len(unseen), dtype=bool)
    if "val" in table.splits:
        chosen[seen] = np.array([table.splits[label] == "val" for label in seen])
        return chosen
    share = rule.validation if rule.validation is not None else float(unseen.mean())
    if share <= 0 or len(seen) < LEAST_SEEN:
        return chosen
    count = min(max(1, round(share * len(seen))), len(seen) - 2)
    chosen[seen[permutation(rule.seed, Stream.SPLIT, 0, len(seen))[:count]]] = True
    return chosen
