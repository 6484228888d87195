"""A data set of arrays: labels by name, semantics by class, splits that are given or drawn."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from typing_extensions import Self

from gzsl_dist.data import dataset
from gzsl_dist.data.dataset import FloatArray, IntArray
from gzsl_dist.data.draws import held_out_rows
from gzsl_dist.data.store import write_dataset
from gzsl_dist.data.validation import validate
from gzsl_dist.errors import InputError


class Dataset(dataset.Dataset):
    """A data set made in Python, checked and ready to be saved; `gzsl_dist.Dataset`."""

    @classmethod
    def from_arrays(
        cls,
        features: ArrayLike,
        labels: Sequence[Hashable] | np.ndarray,
        semantics: Mapping[Any, ArrayLike],
        *,
        unseen: Iterable[Hashable] | None = None,
        validation: Iterable[Hashable] = (),
        splits: Sequence[str] | None = None,
        held_out: float = 0.2,
        seed: int = 0,
        name: str = "arrays",
        where: str = "arrays",
    ) -> Self:
        """Put features, labels and semantics together.

        Classes without training rows are unseen. What is drawn stands in `missing`, and so in the
        saved file and in what ``gzsl_dist.prepare`` prints.

        Args:
            features: ``(rows, d_x)``, not scaled.
            labels: ``(rows,)`` class of each row, a key of `semantics`.
            semantics: a vector ``(d_a,)`` for every class, seen or unseen.
            unseen: classes whose rows, if there are any, are test rows only.
            validation: seen classes for model selection; without, they are drawn at training.
            splits: ``(rows,)`` ``train``, ``test``, or nothing: such rows of seen classes are
                drawn.
            held_out: share of each seen class's rows to draw as test rows, in [0, 1).
            seed: of the draw.
            name: what results are reported under.
            where: how messages begin.

        Example:
            >>> horses = {"horse": [0, 1], "zebra": [1, 1], "tiger": [1, 0]}
            >>> data = Dataset.from_arrays(X, ["horse", "tiger", ...], horses)
            >>> data.save("data/mine.h5")

        Raises:
            InputError: wrong shapes or values, a class without semantics, a seen class whose one
                row cannot be both trained and tested on, no seen or no unseen class.
        """
        if not 0 <= seed < 1 << 63:
            raise InputError(f"{where}: seed {seed} is not a whole number of 0 or more; give one")
        if not isinstance(semantics, Mapping):
            raise InputError(
                f"{where}: semantics are {type(semantics).__name__}; give a vector by class: "
                "dict(zip(names, semantics))"
            )
        number = {label: index for index, label in enumerate(semantics)}
        numbers = _numbers(labels, number, where)
        is_unseen = np.zeros(len(number), dtype=bool)
        is_validation = np.zeros(len(number), dtype=bool)
        for names, mask in ((unseen or (), is_unseen), (validation, is_validation)):
            chosen = list(names)
            if unknown := [label for label in chosen if label not in number]:
                raise InputError(
                    f"{where}: {unknown[0]!r} is named unseen or validation class but has no "
                    "semantics; name classes as semantics do"
                )
            mask[[number[label] for label in chosen]] = True
        words = np.array([""] * len(numbers) if splits is None else list(splits), dtype=str)
        if len(words) != len(numbers) or not np.isin(words, ["", "train", "test"]).all():
            raise InputError(
                f"{where}: splits must be train, test or nothing for each of {len(numbers)} rows"
            )
        trainable = np.bincount(numbers[words != "test"], minlength=len(number)) > 0
        is_unseen |= ~trainable
        if len(number) and is_unseen.all():
            raise InputError(f"{where}: every class is unseen; at least two need rows to train on")
        if len(number) and (is_unseen | is_validation).all():
            raise InputError(
                f"{where}: every seen class is a validation class; at least two must be none"
            )
        is_test, drawn = _held_out(numbers, words, is_unseen, held_out, seed, tuple(number), where)
        found = splits_by_class(numbers, is_unseen, is_test, is_validation)
        missing = []
        if drawn:
            missing.append(
                f"test rows of seen classes: {held_out:g} of each class drawn by seed {seed}"
            )
        if "val" not in found:
            missing.append("validation classes: they are drawn from the seen ones by seed")
        made = cls(
            name=name,
            features=_matrix(features, where),
            labels=numbers,
            semantics=semantic_matrix(semantics, where),
            classes=tuple(map(str, semantics)),
            splits=found,
            missing=tuple(missing),
        )
        validate(made, where)
        return made

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the file that ``data.path`` names; see `gzsl_dist.data.store.write_dataset`."""
        write_dataset(Path(path), self, overwrite=overwrite)


def _numbers(
    labels: Sequence[Hashable] | np.ndarray, number: Mapping[Hashable, int], where: str
) -> IntArray:
    plain = list(labels.tolist() if hasattr(labels, "tolist") else labels)  # also of torch
    if nested := [label for label in plain if not isinstance(label, Hashable)]:
        raise InputError(f"{where}: {nested[0]!r} is no label; give one class for each row")
    strange = [label for label in plain if label not in number]
    if strange:
        is_other = str(strange[0]) in map(str, number)
        raise InputError(
            f"{where}: class {strange[0]!r} has {plain.count(strange[0])} rows but no semantics "
            f"({len(set(strange))} such classes); describe it, or leave its rows out"
            + " (semantics have a key of another type that reads the same)"
            * is_other
        )
    return np.array([number[label] for label in plain], dtype=np.int64)


def _held_out(
    numbers: IntArray,
    words: np.ndarray,
    is_unseen: np.ndarray,
    share: float,
    seed: int,
    names: Sequence[Hashable],
    where: str,
) -> tuple[np.ndarray, bool]:
    """Which rows are test rows, ``(rows,)``, and whether any was drawn."""
    if not isinstance(share, Real) or not 0 <= share < 1:
        raise InputError(f"{where}: held out share {share}: must be 0 or more, and below 1")
    free = (words == "") & ~is_unseen[numbers]
    if share and len(lonely := np.flatnonzero(np.bincount(numbers[free]) == 1)):
        raise InputError(
            f"{where}: class {names[lonely[0]]!r} has one row, but a seen class needs one to train "
            "on and one to test on; add rows, call it unseen, or hold out 0"
        )
    drawn = held_out_rows(numbers, share, seed, free)
    return (words == "test") | drawn, bool(drawn.any())


def splits_by_class(
    labels: IntArray,
    is_unseen: np.ndarray,
    is_test: np.ndarray,
    is_validation: np.ndarray,
) -> dict[str, IntArray]:
    """Rows by the names of splits, 0-based; ``train`` and ``val`` where a seen class is for it.

    Args:
        labels: ``(rows,)``.
        is_unseen: ``(classes,)``.
        is_test: ``(rows,)``, of seen classes; all rows of unseen ones are test rows.
        is_validation: ``(classes,)``; what is unseen besides does not count.
    """
    of_unseen = is_unseen[labels]
    splits = {
        "trainval": np.flatnonzero(~of_unseen & ~is_test),
        "test_seen": np.flatnonzero(~of_unseen & is_test),
        "test_unseen": np.flatnonzero(of_unseen),
    }
    if (is_validation & ~is_unseen).any():
        trainval = splits["trainval"]
        kept = is_validation[labels[trainval]]
        splits |= {"train": trainval[~kept], "val": trainval[kept]}
    return splits


def _matrix(features: ArrayLike, where: str) -> FloatArray:
    try:
        array = np.asarray(features)
    except (TypeError, ValueError, RuntimeError) as error:  # rows of several lengths, a gradient
        raise InputError(
            f"{where}: features are no matrix ({str(error).splitlines()[0]}); one row of numbers "
            "an image is needed"
        ) from None
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(
            f"{where}: features are {array.dtype} {array.shape}; a matrix of numbers is needed, "
            "one row an image"
        )
    with np.errstate(over="ignore"):  # what becomes infinite is refused by validation
        return np.ascontiguousarray(array, dtype=np.float32)


def semantic_matrix(semantics: Mapping[Any, ArrayLike], where: str) -> FloatArray:
    """Semantics of classes, ``(classes, d_a)``.

    Raises:
        InputError: no class, no numbers, or vectors of several lengths.
    """
    try:
        with np.errstate(over="ignore"):
            vectors = [np.asarray(vector, dtype=np.float32) for vector in semantics.values()]
    except (TypeError, ValueError):
        raise InputError(f"{where}: semantics must be numbers, a vector for each class") from None
    for label, vector in zip(semantics, vectors, strict=True):
        if vector.ndim != 1 or vector.shape != vectors[0].shape:
            raise InputError(
                f"{where}: semantics of class {label!r} have shape {vector.shape}, the first have "
                f"{vectors[0].shape}; give each class d_a values"
            )
    if not vectors:
        raise InputError(f"{where}: semantics hold no class; give a vector for each")
    return np.stack(vectors)
