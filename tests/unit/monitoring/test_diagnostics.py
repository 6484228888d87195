"""Collapse and overlap as numbers; test rows are never looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch

from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import Problem, Rows, final_problem, selection_problem
from gzsl_dist.models.networks import Networks
from gzsl_dist.monitoring.diagnostics import diagnose, frechet_distance, overlap, sample_groups
from gzsl_dist.training.trainer import networks_for
from tests.sizes import SMALL_NETWORKS

CONFIG = Config.model_validate({"model": SMALL_NETWORKS})


@pytest.fixture(scope="module")
def problem() -> Problem:
    return selection_problem(digits_dataset(), CONFIG)


@pytest.fixture
def networks(problem: Problem) -> Networks:
    return networks_for(problem, CONFIG)


def test_frechet_distance_is_that_of_scipy() -> None:
    draw = torch.Generator().manual_seed(0)
    real = torch.randn(200, 5, generator=draw) @ torch.randn(5, 5, generator=draw)
    other = torch.randn(300, 5, generator=draw) @ torch.randn(5, 5, generator=draw) + 1
    own, theirs = np.cov(other.numpy().T), np.cov(real.numpy().T)
    shift = ((other.mean(dim=0) - real.mean(dim=0)) ** 2).sum().item()
    cross = np.trace(scipy.linalg.sqrtm(own @ theirs).real)
    expected = (shift + np.trace(own) + np.trace(theirs) - 2 * cross) / np.trace(theirs)
    assert frechet_distance(real, other) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-6)


def test_overlap() -> None:
    left, right = torch.linspace(-0.9, -0.1, 50), torch.linspace(0.1, 0.9, 50)
    assert overlap(left, right) == 0
    assert overlap(left, left) == pytest.approx(1)
    assert overlap(torch.cat([left, right]), right) == pytest.approx(0.5)


def test_a_collapsed_generator_has_no_diversity(problem: Problem, networks: Networks) -> None:
    networks.generator.hidden.weight.data[:, : SMALL_NETWORKS["noise_dim"]] = 0  # deaf to noise
    found = diagnose(networks, problem, 0, 0.25, unseen=True)
    assert found.scalars["synthetic/diversity_seen"] == pytest.approx(0, abs=1e-6)
    assert found.scalars["synthetic/diversity_unseen"] == pytest.approx(0, abs=1e-6)


def test_real_rows_in_place_of_synthetic_ones_are_perfect(
    problem: Problem, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = sample_groups(networks, problem, 0, unseen=True)
    same = {name: replace(group, synthetic=group.real.float()) for name, group in groups.items()}
    monkeypatch.setattr("gzsl_dist.monitoring.diagnostics.sample_groups", lambda *_, **__: same)
    scalars = diagnose(networks, problem, 0, 0.25, unseen=True).scalars
    for side in ("seen", "unseen"):
        assert scalars[f"synthetic/diversity_{side}"] == pytest.approx(1)
        assert scalars[f"synthetic/mean_distance_{side}"] == pytest.approx(0, abs=1e-6)
        assert scalars[f"synthetic/frechet_{side}"] == pytest.approx(0, abs=1e-6)
        assert scalars[f"similarity/overlap_real_{side}"] == pytest.approx(
            scalars[f"similarity/overlap_synthetic_{side}"]
        )


class Forbidden(Rows):
    """Rows whose reading fails."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError("test rows were read")


def test_test_rows_are_not_read(networks: Networks) -> None:
    whole = final_problem(digits_dataset(), CONFIG)
    hidden = object.__new__(Forbidden)
    problem = replace(whole, seen=hidden, unseen=hidden)
    found = diagnose(networks_for(whole, CONFIG), problem, 0, 0.25, unseen=False)
    assert "real unseen" not in found.embeddings
    assert "synthetic unseen" in found.embeddings
    assert "synthetic/diversity_unseen" not in found.scalars
    with pytest.raises(AssertionError, match="were read"):
        diagnose(networks_for(whole, CONFIG), problem, 0, 0.25, unseen=True)


@pytest.mark.parametrize("method", ["wgan", "ce_gzsl", "proxy_anchor", "supcon"])
def test_other_methods_have_what_they_have(method: str, problem: Problem) -> None:
    config = Config.model_validate({"method": method, "model": SMALL_NETWORKS})
    found = diagnose(networks_for(problem, config), problem, 0, 0.25, unseen=True)
    assert "synthetic/diversity_seen" in found.scalars
    assert ("similarity/gap_real_seen" in found.scalars) == (method != "wgan")
    assert ("prototypes/nearest_pair" in found.scalars) == (method == "proxy_anchor")
