"""How well classes keep apart: against plain loops and pytorch-metric-learning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from torch import Tensor

from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import Problem, ScaledFeatures, final_problem
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation import representation
from gzsl_dist.evaluation.confusion import confused_pairs, write_confusion
from gzsl_dist.evaluation.metrics import ScoredRows
from gzsl_dist.evaluation.representation import (
    BINS,
    FIGURES,
    GROUPS,
    read_representation,
    sample_rows,
    separation,
    space_of,
    write_representation,
)
from gzsl_dist.monitoring.diagnostics import overlap
from gzsl_dist.training.trainer import networks_for

SIZES = {
    "noise_dim": 8, "generator_hidden": 16, "critic_hidden": 8, "embedding_dim": 16,
    "projection_dim": 8, "comparator_hidden": 8, "prototype_hidden": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> tuple[Tensor, Tensor]:
    """Six overlapping classes of 3 to 40 rows, lengths not 1, shuffled, labels with gaps."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.tensor([3, 5, 6, 11, 12, 20]).repeat_interleave(
        torch.tensor([3, 40, 7, 15, 9, 30])
    )
    labels = labels[torch.randperm(len(labels), generator=draw)]
    centers = torch.randn(21, 7, generator=draw)
    return centers[labels] + 0.8 * torch.randn(len(labels), 7, generator=draw), labels


def similarity(one: Tensor, other: Tensor) -> float:
    return float(one @ other / (one.norm() * other.norm()))


def test_overlap_and_histograms_are_those_of_all_pairs(rows: tuple[Tensor, Tensor]) -> None:
    embedded, labels = rows
    found = separation(embedded, labels)
    same, other = [], []
    for i in range(len(labels)):
        for j in range(i):
            pair = similarity(embedded[i], embedded[j])
            (same if labels[i] == labels[j] else other).append(pair)
    for name, values in (("same", same), ("other", other)):
        expected = np.histogram(values, BINS, (-1, 1))[0] / len(values)
        assert np.asarray(found[name]) == pytest.approx(expected, abs=2e-3)  # edges of bins
        assert np.sum(found[name]) == pytest.approx(1, abs=1e-5)
    assert found["overlap"] == pytest.approx(
        overlap(torch.tensor(same), torch.tensor(other)), abs=2e-3
    )


def test_margin_is_that_of_plain_loops(rows: tuple[Tensor, Tensor]) -> None:
    embedded, labels = rows
    unit = [row / row.norm() for row in embedded]
    margins = []
    for label in set(labels.tolist()):
        mine = [i for i in range(len(labels)) if labels[i] == label]
        own = []
        for i in mine:
            others = [unit[j] for j in mine if j != i]
            own.append(similarity(unit[i], sum(others)))  # type: ignore[arg-type]
        nearest = -1.0
        for rival in set(labels.tolist()) - {label}:
            mean = sum(unit[j] for j in range(len(labels)) if labels[j] == rival)
            nearest = max(nearest, np.mean([similarity(unit[i], mean) for i in mine]))  # type: ignore[arg-type]
        margins.append(np.mean(own) - nearest)
    assert separation(embedded, labels)["margin"] == pytest.approx(np.mean(margins), abs=1e-5)


def test_map_at_r_is_that_of_pytorch_metric_learning(
    rows: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded, labels = rows
    oracle = AccuracyCalculator(
        include=("mean_average_precision_at_r",),
        k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity()),
        device=torch.device("cpu"),
    )
    expected = oracle.get_accuracy(embedded, labels)
    assert 0.2 < expected["mean_average_precision_at_r"] < 0.9
    for block in (1024, 17):
        monkeypatch.setattr(representation, "BLOCK", block)
        found = separation(embedded, labels)["map_at_r"]
        assert found == pytest.approx(expected["mean_average_precision_at_r"], abs=1e-6)


def test_classes_apart_and_classes_that_are_one() -> None:
    labels = torch.arange(4).repeat_interleave(10)
    noise = 0.01 * torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
    apart = separation(torch.eye(4)[labels] + noise, labels)
    assert apart["overlap"] == 0
    assert apart["margin"] == pytest.approx(1, abs=0.02)
    assert apart["silhouette"] > 0.95
    assert apart["map_at_r"] == pytest.approx(1)
    assert apart["nmi"] == pytest.approx(1)
    one = separation(torch.ones(40, 4) + noise, labels)
    assert one["overlap"] > 0.9
    assert abs(one["margin"]) < 0.01
    assert one["silhouette"] < 0.1
    assert one["map_at_r"] < 0.4
    collapsed = separation(torch.ones(40, 4), labels)  # not a single warning, no NaN
    assert collapsed["overlap"] == pytest.approx(1)
    assert all(np.isfinite(np.asarray(value)).all() for value in collapsed.values())


def test_rows_are_bounded_and_even(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(representation, "MOST_CLASSES", 3)
    monkeypatch.setattr(representation, "MOST_ROWS", 4)
    labels = torch.tensor([0] * 8 + [1] + [2] * 3 + [3] * 9 + [4] * 5 + [5] * 2)
    ids = sample_rows(labels, range(6))
    assert ids.tolist() == [0, 2, 4, 6, 9, 10, 11, 21, 22, 23, 24]  # classes 0, 2, 4; never 1
    assert len(sample_rows(labels, range(6, 9))) == 0


@pytest.mark.parametrize(
    ("method", "losses", "space"),
    [
        ("iapc", {}, "u"),
        ("wgan", {}, "x"),
        ("iapc", {"prototype": 0, "instance": 0, "comparator": 1}, "h"),
    ],
)
def test_space(method: str, losses: dict[str, float], space: str) -> None:
    sides = {"critic": losses, "generator": losses} if losses else {}
    assert space_of(Config.model_validate({"method": method, "loss": sides})) == space


@pytest.fixture(scope="module")
def problem() -> Problem:
    return final_problem(digits_dataset(), Config.model_validate({"model": SIZES}))


@pytest.mark.parametrize("method", ["iapc", "wgan"])
def test_file_of_a_run(method: str, problem: Problem, tmp_path: Path) -> None:
    config = Config.model_validate({"model": SIZES, "method": method})
    networks = networks_for(problem, config)
    write_representation(tmp_path, networks, problem, config)
    first = (tmp_path / "representation.json").read_text()
    write_representation(tmp_path, networks, problem, config)
    assert (tmp_path / "representation.json").read_text() == first
    found = read_representation(tmp_path)
    assert found is not None
    assert found == json.loads(first)
    assert set(found["groups"]) == set(GROUPS)
    assert found["space"] == {"iapc": "u", "wgan": "x"}[method]
    for side, rows in (("seen", problem.seen), ("unseen", problem.unseen)):
        ids = sample_rows(rows.labels, range(len(problem.classes)))
        values = {"x": rows.features[ids].float()}
        if method == "iapc":
            hidden, unit = networks.embedding(values["x"])  # type: ignore[misc]
            values |= {"h": hidden.detach(), "u": unit.detach()}
        measured = found["groups"][f"real {side}"]
        assert set(measured) == (set(values) if side == "unseen" else {found["space"]})
        for space, real in measured.items():
            expected = separation(values[space], rows.labels[ids])
            for name in FIGURES:
                assert real[name] == pytest.approx(expected[name], abs=1e-6), (space, name)
            made = found["groups"][f"synthetic {side}"][space]
            assert (made["rows"], made["classes"]) == (real["rows"], real["classes"])
            assert made["same"] != real["same"]


def test_a_file_of_an_older_run_counts_as_absent(tmp_path: Path) -> None:
    assert read_representation(tmp_path) is None
    older = {"space": "u", "bins": 100, "groups": {"real seen": {"margin": 0.5}}}
    (tmp_path / "representation.json").write_text(json.dumps(older))
    assert read_representation(tmp_path) is None
    (tmp_path / "representation.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        read_representation(tmp_path)


def test_features_on_disk_are_read_in_part(problem: Problem, tmp_path: Path) -> None:
    """Only the sampled test rows; and they give what features in memory give."""
    asked = []

    class Stored(ScaledFeatures):
        def __init__(self, features: Tensor) -> None:
            self.features, self.shape = features, tuple(features.shape)  # type: ignore[assignment]

        def __getitem__(self, rows: slice | Tensor) -> Tensor:
            asked.append(rows)
            return self.features[rows]

    config = Config.model_validate({"model": SIZES})
    networks = networks_for(problem, config)
    write_representation(tmp_path, networks, problem, config)
    expected = (tmp_path / "representation.json").read_text()
    parts = {
        name: type(rows)(Stored(rows.features), rows.labels)  # type: ignore[arg-type]
        for name, rows in (("seen", problem.seen), ("unseen", problem.unseen))
    }
    fields = {**problem.__dict__, **parts}
    write_representation(tmp_path, networks, Problem(**fields), config)
    assert (tmp_path / "representation.json").read_text() == expected
    assert len(asked) == 2
    assert all(isinstance(rows, Tensor) for rows in asked)


def test_confusion_counts_by_name(tmp_path: Path) -> None:
    names = ["seen a", "seen b", "éider", "gull"]
    unseen = ScoredRows(
        labels=np.array([2, 2, 2, 3, 3]),
        best_seen=np.array([0, 1, 0, 0, 1]),
        best_unseen=np.array([2, 2, 3, 3, 2]),
        lead=np.array([-1.0, 2.0, -1.0, 5.0, 0.1]),
    )
    write_confusion(tmp_path, unseen, names, 0.5)
    found = json.loads((tmp_path / "confusion.json").read_text())
    assert found["rows"] == {"éider": 3, "gull": 2}
    assert sorted(map(tuple, found["among_unseen"])) == [
        ("gull", "gull", 1), ("gull", "éider", 1), ("éider", "gull", 1), ("éider", "éider", 2),
    ]  # fmt: skip
    assert sorted(map(tuple, found["all_classes"])) == [
        ("gull", "seen a", 1), ("gull", "éider", 1), ("éider", "gull", 1), ("éider", "seen b", 1),
        ("éider", "éider", 1),
    ]  # fmt: skip


def test_the_most_frequent_pairs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gzsl_dist.evaluation.confusion.MOST_PAIRS", 2)
    pairs = confused_pairs(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 1, 0, 0, 0]), "ab")
    assert pairs == [("b", "a", 3), ("a", "b", 2)]
