"""How rows cluster, against pytorch-metric-learning, scikit-learn and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from torch import Tensor

from gzsl_dist.evaluation.clusters import cluster_figures, map_at_r


def blobs(spread: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of five classes of 4 to 16 rows, around random centres."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.tensor([7, 3, 4, 9, 5]), torch.tensor([4, 9, 16, 5, 11]))
    centres = torch.randn(10, 6, generator=draw)
    return centres[labels] + spread * torch.randn(len(labels), 6, generator=draw), labels


@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_map_at_r_is_pytorch_metric_learnings(spread: float) -> None:
    rows, labels = blobs(spread)
    unit = torch.nn.functional.normalize(rows, dim=1)
    calculator = AccuracyCalculator(
        include=("mean_average_precision_at_r",), k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity()),
    )  # fmt: skip
    theirs = calculator.get_accuracy(unit, labels)["mean_average_precision_at_r"]
    assert map_at_r(unit @ unit.T, labels) == pytest.approx(theirs, abs=1e-6)


def test_a_row_alone_in_its_class_does_not_count() -> None:
    rows, labels = blobs(1.0)
    unit = torch.nn.functional.normalize(rows, dim=1)
    more = torch.cat([unit, -torch.ones(1, 6) * 1e-9])  # last in every ranking but its own
    assert map_at_r(more @ more.T, torch.cat([labels, torch.tensor([1])])) == pytest.approx(
        map_at_r(unit @ unit.T, labels), abs=0.1
    )
    pair = torch.eye(3)
    assert map_at_r(pair @ pair.T, torch.tensor([0, 0, 1])) in (0.0, 0.5, 1.0)


def test_margin_by_a_plain_loop() -> None:
    rows, labels = blobs(0.7)
    unit = torch.nn.functional.normalize(rows, dim=1).double().numpy()
    names = labels.numpy()
    directions = {}
    for name in set(names.tolist()):
        mean = unit[names == name].mean(axis=0)
        directions[name] = mean / np.linalg.norm(mean)
    leads = []
    for row, name in zip(unit, names, strict=True):
        others = [row @ directions[other] for other in directions if other != name]
        leads.append(row @ directions[name] - max(others))
    assert cluster_figures(rows, labels)["margin"] == pytest.approx(np.mean(leads), abs=1e-6)


def test_tight_classes_score_better_in_everything() -> None:
    tight, loose = (cluster_figures(*blobs(spread)) for spread in (0.05, 2.0))
    for name in ("mAP@R", "margin", "silhouette", "NMI"):
        assert tight[name] > loose[name] + 0.1, name
    assert tight["overlap"] < loose["overlap"] - 0.1
    assert tight["mAP@R"] == pytest.approx(1)
    assert tight["NMI"] == pytest.approx(1)
