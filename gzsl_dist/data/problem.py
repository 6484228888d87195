"""What is trained on and what is measured: the final problem, or one made for model selection.

Both have the same form, so the same code trains and measures both. The selection problem is cut
out of the training rows alone: it cannot see a test row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gzsl_dist.config import Config
from gzsl_dist.config.presets import UNSCALED
from gzsl_dist.data.dataset import Dataset, IntArray
from gzsl_dist.data.draws import Stream, held_out_rows, permutation
from gzsl_dist.data.features import Features, StoredFeatures
from gzsl_dist.data.guard import GuardedFeatures
from gzsl_dist.data.scaling import Scaling, scale_semantics
from gzsl_dist.data.validation import check_directions
from gzsl_dist.errors import InputError


class ScaledFeatures:
    """``(rows, d_x)`` of features on disk or behind a guard, scaled as they are read.

    Args:
        stored: all rows of the data set.
        rows: which of them these are.
        scaling: applied to each.
    """

    def __init__(self, stored: Features, rows: IntArray, scaling: Scaling) -> None:
        self._stored, self._rows, self._scaling = stored, rows, scaling
        self.shape = (len(rows), stored.shape[1])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """Read the rows of a slice, or of row numbers."""
        index = rows if isinstance(rows, slice) else rows.numpy()
        return torch.from_numpy(self._scaling(self._stored[self._rows[index]]))


@dataclass(frozen=True)
class Rows:
    """Scaled features ``(rows, d_x)`` and labels ``(rows,)`` in the problem's own numbering."""

    features: Tensor | ScaledFeatures
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Problem:
    """One GZSL problem, scaled and renumbered: seen classes first, then unseen ones.

    Attributes:
        train: rows of seen classes to train on.
        seen: rows of seen classes to measure S on.
        unseen: rows of unseen classes to measure U on.
        semantics: ``(classes, d_a)`` of seen, then unseen classes.
        seen_count: number of seen classes.
        classes: ``(classes,)`` the data set's number of each of the problem's classes.
        scaling: how features were scaled, fitted on the training rows.
        note: how the problem was made, for people.
        names: ``(classes,)`` of each of the problem's classes.
        final_size: training rows, seen and unseen classes of the whole data set, also where some
            are held out for selection.
    """

    train: Rows
    seen: Rows
    unseen: Rows
    semantics: Tensor
    seen_count: int
    classes: IntArray
    scaling: Scaling
    note: str
    names: tuple[str, ...]
    final_size: tuple[int, int, int] = (0, 0, 0)

    @property
    def is_measured(self) -> bool:
        """Whether there are rows to measure both S and U on."""
        return bool(len(self.seen) and len(self.unseen))

    @property
    def sizes(self) -> tuple[int, int, int]:
        """d_x, d_a and the number of seen classes."""
        return self.feature_dim, self.semantic_dim, self.seen_count

    @property
    def feature_dim(self) -> int:
        """d_x."""
        return self.train.features.shape[1]

    @property
    def semantic_dim(self) -> int:
        """d_a."""
        return self.semantics.shape[1]

    def numbers(self, labels: IntArray) -> IntArray:
        """The problem's own numbers of ``(rows,)`` class numbers of the data set; else -1."""
        number = np.full(max(self.classes.max(), labels.max(initial=0)) + 1, -1)
        number[self.classes] = np.arange(len(self.classes))
        return number[labels]


def final_problem(dataset: Dataset, config: Config) -> Problem:
    """Train on all seen classes (``trainval``), measure on the test rows.

    Args:
        dataset: the data.
        config: how they are scaled, by `data`, and the method, which may take them as they are.
    """
    splits = dataset.splits
    return _build(
        dataset,
        config,
        train=splits["trainval"],
        seen=splits["test_seen"],
        unseen=splits["test_unseen"],
        unseen_classes=dataset.unseen_classes,
        note="test rows of the data set",
    )


def selection_problem(dataset: Dataset, config: Config, fold: int = 0) -> Problem:
    """A problem inside the training rows: some seen classes play the unseen ones.

    The classes are those of the ``train`` and ``val`` splits; their rows are taken from
    ``trainval`` only, because in the published splits ``train`` also holds rows of ``test_seen``.
    Without these splits, a draw by `train.seed` makes as large a part of the seen classes unseen
    as the unseen classes are of all. A share of each seen class's rows (`evaluation.held_out`) is
    kept from training, to measure S.

    Args:
        dataset: the data.
        config: its seed, and how many folds there are.
        fold: which of `evaluation.folds`. Their validation classes are disjoint and as many as
            those of the first, or a share of the seen classes where these do not suffice; after
            the published classes they are drawn by the seed.

    Raises:
        InputError: too few classes or rows are left.
    """
    trainval = dataset.splits["trainval"]
    labels = dataset.labels[trainval]
    seed = config.train.seed
    unseen_classes, note = _validation_classes(dataset, config.evaluation.folds, seed, fold)
    is_unseen = np.isin(labels, unseen_classes)
    kept = held_out_rows(labels, config.evaluation.held_out, seed)
    train, seen_rows = trainval[~is_unseen & ~kept], trainval[~is_unseen & kept]
    if len(np.unique(dataset.labels[train])) < 2 or not is_unseen.any() or not len(seen_rows):
        raise InputError(
            f"data set {dataset.name}: too few seen classes or rows for validation classes; use "
            "--evaluation.selection fixed --evaluation.calibration none"
        )
    return _build(
        dataset,
        config,
        train=train,
        seen=seen_rows,
        unseen=trainval[is_unseen],
        unseen_classes=unseen_classes,
        note=note,
    )


def _validation_classes(dataset: Dataset, folds: int, seed: int, fold: int) -> tuple[IntArray, str]:
    """The classes of a fold, and where they come from."""
    seen, unseen = dataset.seen_classes, dataset.unseen_classes
    published = np.empty(0, dtype=np.int64)
    count = max(1, round(len(seen) * len(unseen) / (len(seen) + len(unseen))))
    if "val" in dataset.splits and "train" in dataset.splits:
        published = np.unique(dataset.labels[dataset.splits["val"]])
        count = len(published)
    free, drawn = np.setdiff1d(seen, published), folds - bool(len(published))
    if drawn > 0:
        count = min(count, len(free) // drawn)
    if drawn > 0 and not 0 < count * drawn <= len(free):
        raise InputError(
            f"evaluation.folds {folds}: data set {dataset.name} has "
            f"{len(seen)} seen classes, too few for so many disjoint sets; use fewer"
        )
    if len(published) and fold == 0:
        how = dataset.origin.get("split", {}).get("validation_classes")
        return published, "validation classes of the data set" + (f", {how}" if how else "")
    place = fold - bool(len(published))
    order = permutation(seed, Stream.SPLIT, 0, len(free))
    note = f"{count} validation classes drawn from the {len(free)} seen ones by seed {seed}"
    return np.sort(free[order[place * count : (place + 1) * count]]), note


def _build(
    dataset: Dataset,
    config: Config,
    *,
    train: IntArray,
    seen: IntArray,
    unseen: IntArray,
    unseen_classes: IntArray,
    note: str,
) -> Problem:
    seen_classes = np.unique(dataset.labels[train])
    classes = np.concatenate([seen_classes, unseen_classes])
    number = np.full(len(dataset.classes), -1)
    number[classes] = np.arange(len(classes))
    stored = dataset.features
    scaling = Scaling.none(stored.shape[1])
    if config.method not in UNSCALED:
        scaling = Scaling.fit(stored, config.data.feature_transform, train)
    whole = stored.whole if isinstance(stored, GuardedFeatures) else stored
    on_disk = isinstance(whole, StoredFeatures)
    # rows behind a guard are read when they are measured, not before
    measured_later = on_disk or isinstance(stored, GuardedFeatures)

    def rows(index: IntArray, *, later: bool) -> Rows:
        labels = torch.from_numpy(number[dataset.labels[index]])
        if later:
            return Rows(ScaledFeatures(stored, index, scaling), labels)
        return Rows(torch.from_numpy(scaling(stored[index])), labels)

    semantics = scale_semantics(dataset.semantics[classes], config.data.semantics_norm)
    names = tuple(dataset.classes[number] for number in classes)
    if config.data.semantics_norm is not None:
        check_directions(semantics, names)
    return Problem(
        train=rows(train, later=on_disk),
        seen=rows(seen, later=measured_later),
        unseen=rows(unseen, later=measured_later),
        semantics=torch.from_numpy(semantics),
        seen_count=len(seen_classes),
        classes=classes,
        scaling=scaling,
        note=note,
        names=names,
        final_size=(
            len(dataset.splits["trainval"]),
            len(dataset.seen_classes),
            len(dataset.unseen_classes),
        ),
    )
