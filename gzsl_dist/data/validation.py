"""Checks that every data set passes before anything is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from gzsl_dist.data.dataset import (
    OPTIONAL_SPLITS,
    REQUIRED_SPLITS,
    TEST_SPLITS,
    Dataset,
    FloatArray,
    IntArray,
)
from gzsl_dist.errors import InputError

LARGEST = 1e15  # of features and of lengths of semantics


def validate(dataset: Dataset, where: str | None = None) -> None:
    """Check a data set in itself; splits and labels are 0-based here.

    Raises:
        InputError: one line: `where` (default the name), what is wrong, in which part, what to do.
    """
    where = where or f"data set {dataset.name}"
    _check_shapes(dataset, where)
    if isinstance(dataset.features, np.ndarray):  # on disk, they were checked when written
        _check_finite(dataset.features, "features", "rows", "row {} (from 0)".format, where)
        _check_range(dataset.features, where)
    check_class_table(dataset, where)
    count = len(dataset.classes)
    outside = (dataset.labels < 0) | (dataset.labels >= count)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"{where}: {outside.sum()} labels are outside the {count} classes, the first at row "
            f"{row} (from 0); every label needs semantics"
        )
    _check_splits(dataset, where)
    _check_classes(dataset, where)
    _check_validation_classes(dataset, where)


def check_class_table(dataset: Dataset, where: str) -> None:
    """Check names and semantics of the classes.

    Raises:
        InputError: a name is empty or taken twice; a vector has NaN, no length, or is another's.
    """
    _check_names(dataset, where)

    def name(number: int) -> str:
        return f"class {dataset.classes[number]!r}"

    _check_finite(dataset.semantics, "semantics", "classes", name, where)
    _check_lengths(dataset, where)
    _check_semantics(dataset, where)


def _check_shapes(dataset: Dataset, where: str) -> None:
    lists = {"labels": dataset.labels}
    lists |= {f"split {name}": split for name, split in dataset.splits.items()}
    for part, numbers in lists.items():
        if numbers.ndim != 1:
            raise InputError(
                f"{where}: {part} has shape {numbers.shape}; it must be a list of whole numbers"
            )
    rows = len(dataset.labels)
    if len(dataset.features.shape) != 2 or len(dataset.features) != rows:
        raise InputError(
            f"{where}: features have shape {dataset.features.shape}, labels have {rows} rows; "
            "one row of features is needed for each label"
        )
    if not rows:
        raise InputError(f"{where}: has no rows; at least two classes need some to train on")
    if dataset.semantics.ndim != 2 or len(dataset.semantics) != len(dataset.classes):
        raise InputError(
            f"{where}: semantics have shape {dataset.semantics.shape} for "
            f"{len(dataset.classes)} class names; one vector is needed for each class"
        )
    for part, array in (("features", dataset.features), ("semantics", dataset.semantics)):
        if not array.shape[1]:
            raise InputError(f"{where}: {part} have no columns; give each row at least one value")


def _check_names(dataset: Dataset, where: str) -> None:
    """Results are told by class name, so a name must be one and be stored as it is."""
    first: dict[str, int] = {}
    for number, name in enumerate(dataset.classes):
        if not name or any(sign in name for sign in "\0\n\r"):
            raise InputError(
                f"{where}: the name of class {number + 1} is {name!r}; give it a readable one"
            )
        if name in first:
            raise InputError(
                f"{where}: classes {first[name] + 1} and {number + 1} are both called {name!r}; "
                "give each its own name"
            )
        first[name] = number


def _check_finite(
    array: np.ndarray, part: str, units: str, name: Callable[[int], str], where: str
) -> None:
    if np.isfinite(array.sum(dtype=np.float64)):
        return
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        first = name(int(np.flatnonzero(bad)[0]))
        raise InputError(
            f"{where}: {part} have NaN or infinite values (in float32) in {bad.sum()} of "
            f"{len(bad)} {units}, the first is {first}; repair or drop them"
        )


def _check_range(features: FloatArray, where: str) -> None:
    """Squares and sums of squares must fit into float32, and rows must differ."""
    if (
        len(features) > 1
        and (features[:64] == features[0]).all()
        and (features == features[0]).all()
    ):
        raise InputError(f"{where}: all rows of features are equal; extract them again")
    largest = float(max(features.max(), -features.min()))
    if largest > LARGEST:
        raise InputError(
            f"{where}: features reach {largest:.1e}; divide them by a constant, {LARGEST:.0e} is "
            "the most"
        )


def _check_lengths(dataset: Dataset, where: str) -> None:
    lengths = np.linalg.norm(dataset.semantics.astype(np.float64), axis=1)
    if lengths.max() > LARGEST or 0 < lengths[lengths > 0].min(initial=1) < 1 / LARGEST:
        raise InputError(
            f"{where}: semantics have lengths from {lengths.min():.1e} to {lengths.max():.1e}; "
            f"scale them to between {1 / LARGEST:.0e} and {LARGEST:.0e}"
        )


def _check_semantics(dataset: Dataset, where: str) -> None:
    semantics, names = dataset.semantics, dataset.classes
    if len(semantics) > 1 and (semantics == semantics[0]).all():
        raise InputError(f"{where}: all classes have the same semantics; give each its own")
    zero = np.flatnonzero(~semantics.any(axis=1))
    if len(zero):
        raise InputError(
            f"{where}: class {names[zero[0]]!r} has no semantics (all zeros); give it a vector"
        )
    _, first, where_of = np.unique(semantics, axis=0, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[where_of.ravel()] != np.arange(len(semantics)))
    if len(copies):
        twin = first[where_of.ravel()[copies[0]]]
        raise InputError(
            f"{where}: classes {names[twin]!r} and {names[copies[0]]!r} have the same semantics "
            "and could never be distinguished; give each its own"
        )


def check_directions(scaled: FloatArray, names: Sequence[str]) -> None:
    """Check semantics that were scaled to one length, ``(classes, d_a)``.

    Raises:
        InputError: two of them point the same way, as all do that are a single number.
    """
    drawn = np.random.default_rng(0).standard_normal(scaled.shape[1])
    places = scaled @ drawn
    order = np.argsort(places, kind="stable")  # equal ones lie side by side
    near = np.diff(places[order]) <= 1e-5 * np.linalg.norm(scaled[0])
    for one, other in zip(order[:-1][near], order[1:][near], strict=True):
        if np.allclose(scaled[one], scaled[other], rtol=1e-6, atol=0):
            first, second = sorted((int(one), int(other)))
            raise InputError(
                f"semantics of classes {names[first]!r} and {names[second]!r} differ in length "
                "alone, and are scaled to one length; describe them by more, or give "
                "--data.semantics_norm null"
            )


def _check_splits(dataset: Dataset, where: str) -> None:
    rows = len(dataset.labels)
    for name, split in dataset.splits.items():
        if not len(split) and name not in TEST_SPLITS:
            raise InputError(f"{where}: split {name} is empty; it needs rows")
        check_indices(split, rows, f"{where}: split {name}", first=0)
    for one, other in combinations(REQUIRED_SPLITS, 2):
        both = np.intersect1d(dataset.splits[one], dataset.splits[other])
        if len(both):
            raise InputError(
                f"{where}: splits {one} and {other} overlap in {len(both)} rows, the first is row "
                f"{both[0]} (from 0); a row belongs to one of them"
            )


def remedy_of_zero(numbers: IntArray, most: int) -> str:
    """What to do about numbers that should start at 1: they may count from 0, or be others."""
    fits = numbers.max() < most
    return "add 1 to all" if fits else "check what was saved under this name"


def check_indices(indices: IntArray, rows: int, where: str, *, first: int) -> None:
    """Check that indices are distinct and in ``[first, rows + first)``.

    Raises:
        InputError: they are not; `where` begins the message.
    """
    if first == 1 and (indices == 0).any():
        raise InputError(
            f"{where}: holds 0, but indices start at 1 in this format; "
            f"{remedy_of_zero(indices, rows)}"
        )
    outside = (indices < first) | (indices >= rows + first)
    if outside.any():
        raise InputError(
            f"{where}: index {indices[outside][0]} is outside the {rows} rows; check that features "
            "and splits belong together"
        )
    values, counts = np.unique(indices, return_counts=True)
    if (counts > 1).any():
        raise InputError(
            f"{where}: index {values[counts > 1][0]} occurs more than once ({(counts > 1).sum()} "
            "such indices); list every row once"
        )


def _check_classes(dataset: Dataset, where: str) -> None:
    names = dataset.classes

    def classes(split: str) -> set[int]:
        return set(dataset.labels[dataset.splits[split]].tolist())

    seen, unseen = classes("trainval"), classes("test_unseen")
    if len(seen) < 2:
        raise InputError(f"{where}: has {len(seen)} seen class; at least two are needed")
    if both := seen & unseen:
        raise InputError(
            f"{where}: class {names[min(both)]!r} is both seen (in trainval) and unseen (in "
            "test_unseen); a class is one of them"
        )
    if untrained := classes("test_seen") - seen:
        raise InputError(
            f"{where}: class {names[min(untrained)]!r} has rows in test_seen but none in trainval; "
            "move it to test_unseen or give it training rows"
        )
    if left_out := set(dataset.labels.tolist()) - seen - unseen:
        raise InputError(
            f"{where}: class {names[min(left_out)]!r} has rows, but none in trainval or "
            f"test_unseen ({len(left_out)} such classes); put them into a split, or leave them out"
        )
    if len(seen) == len(names):
        raise InputError(
            f"{where}: all {len(seen)} classes are seen (have rows in trainval); an unseen class "
            "has semantics and no training rows"
        )


def _check_validation_classes(dataset: Dataset, where: str) -> None:
    """Their rows may overlap with ``test_seen``, as published; their classes decide."""
    given = [name for name in OPTIONAL_SPLITS if name in dataset.splits]
    if len(given) == 1:
        raise InputError(
            f"{where}: has split {given[0]} alone; train and val are given together, or neither"
        )
    if not given:
        return
    train, val, seen = (
        set(dataset.labels[dataset.splits[split]].tolist())
        for split in (*OPTIONAL_SPLITS, "trainval")
    )
    if both := train & val:
        raise InputError(
            f"{where}: class {dataset.classes[min(both)]!r} is in both train and val; a class is "
            "in one of them"
        )
    if untrained := (train | val) - seen:
        raise InputError(
            f"{where}: class {dataset.classes[min(untrained)]!r} is in train or val but has no "
            "rows in trainval; validation classes are seen classes"
        )
