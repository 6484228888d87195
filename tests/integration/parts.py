"""Parts of data sets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gzsl_dist.data.dataset import Dataset


def with_rows(dataset: Dataset, kept: np.ndarray) -> Dataset:
    """The data set with some rows alone, ascending ones; classes stay."""
    return replace(
        dataset,
        features=dataset.features[kept],
        labels=dataset.labels[kept],
        splits={
            name: np.searchsorted(kept, rows[np.isin(rows, kept)])
            for name, rows in dataset.splits.items()
        },
    )
