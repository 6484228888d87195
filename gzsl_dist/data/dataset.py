"""The one in-memory form of a GZSL data set, whatever file it came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gzsl_dist.data.features import Features, StoredFeatures, blocks
from gzsl_dist.data.features import FloatArray as FloatArray

IntArray = NDArray[np.int64]

TEST_SPLITS = ("test_seen", "test_unseen")
REQUIRED_SPLITS = ("trainval", *TEST_SPLITS)
OPTIONAL_SPLITS = ("train", "val")


@dataclass(frozen=True)
class Dataset:
    """Features, labels, class semantics and splits, in the xlsa17 sense (Xian et al., 2017).

    Attributes:
        name: what results are reported under, for example ``CUB``.
        features: ``(rows, d_x)`` float32, not scaled; an array, or read from disk when needed.
        labels: ``(rows,)`` int64, 0-based index into `classes`.
        semantics: ``(classes, d_a)`` float32, as published (not scaled).
        classes: the name of every class, in the order of `semantics`.
        splits: 0-based row numbers by name: ``trainval``, ``test_seen``, ``test_unseen`` always,
            of which the latter two may be empty: then there is nothing to measure them on;
            ``train`` and ``val`` (disjoint classes, for model selection) where they exist.
        missing: one sentence for each optional thing that the source lacked.
        origin: how features and semantics were made, as `gzsl_dist.extraction.run` writes it;
            empty where nothing is known. No part of the fingerprint.
    """

    name: str
    features: Features
    labels: IntArray
    semantics: FloatArray
    classes: tuple[str, ...]
    splits: dict[str, IntArray]
    missing: tuple[str, ...] = field(default=())
    origin: dict[str, Any] = field(default_factory=dict)

    @property
    def seen_classes(self) -> IntArray:
        """Classes that have training rows, ascending."""
        return np.unique(self.labels[self.splits["trainval"]])

    @property
    def unseen_classes(self) -> IntArray:
        """Classes without training rows, ascending."""
        return np.setdiff1d(np.arange(len(self.classes)), self.seen_classes)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all contents but the name; equal for equal data in any file.

        That of features on disk is the one they were written with.
        """
        if isinstance(self.features, StoredFeatures):
            return self.features.fingerprint
        digest = hashlib.sha256()
        digest.update(str(("<f4", self.features.shape)).encode())
        for block in blocks(self.features):
            digest.update(np.ascontiguousarray(block).data)
        for array in (self.labels, self.semantics):
            digest.update(str((array.dtype.str, array.shape)).encode())
            digest.update(np.ascontiguousarray(array).data)
        digest.update("\0".join(self.classes).encode())
        for key in sorted(self.splits):
            digest.update(key.encode())
            digest.update(np.ascontiguousarray(self.splits[key]).data)
        return digest.hexdigest()


def summary(dataset: Dataset) -> str:
    """What a data set holds, for people."""
    rows, dim = dataset.features.shape
    seen, unseen = len(dataset.seen_classes), len(dataset.unseen_classes)
    splits = ", ".join(f"{name} {len(split)}" for name, split in dataset.splits.items())
    rowless = np.setdiff1d(dataset.unseen_classes, dataset.labels[dataset.splits["test_unseen"]])
    lacking = f", {len(rowless)} of them without rows" if len(rowless) else ""
    gaps = [f"{name} rows" for name in TEST_SPLITS if not len(dataset.splits[name])]
    lines = {
        "data set": dataset.name,
        "rows": f"{rows} of {dim} values",
        "classes": f"{len(dataset.classes)}: {seen} seen, {unseen} unseen{lacking}",
        "semantics": f"{dataset.semantics.shape[1]} values a class",
        "splits": splits,
        "missing": "; ".join([*dataset.missing, *gaps]) or "nothing",
        "fingerprint": dataset.fingerprint,
    }
    return "\n".join(f"{name + ':':13}{value}" for name, value in lines.items())
