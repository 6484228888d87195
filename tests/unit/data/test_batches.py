"""Batches: every row once before any again, labels with their features."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from gzsl_dist.data import batches as module
from gzsl_dist.data.batches import BatchSource
from gzsl_dist.data.draws import Stream, normals, uniforms
from gzsl_dist.data.problem import Rows


def source(
    rows: int, batch_size: int, seed: int = 0, sample: tuple[int, int] | None = None
) -> BatchSource:
    labels = torch.arange(rows) % 5
    return BatchSource(
        Rows(torch.arange(rows, dtype=torch.float32)[:, None].repeat(1, 3), labels),
        batch_size=batch_size,
        slots=slice(0, batch_size),
        noise_dim=4,
        seed=seed,
        device=torch.device("cpu"),
        sample=sample,
    )


def test_every_row_is_used_once_before_any_is_used_again() -> None:
    batches = source(rows=20, batch_size=8)
    ids = np.concatenate([batches.row_ids(draw) for draw in range(5)])  # two passes exactly
    assert sorted(ids[:20]) == list(range(20))
    assert sorted(ids[20:]) == list(range(20))
    assert (ids[:20] != ids[20:]).any()


def test_a_batch_larger_than_the_data_repeats_rows() -> None:
    ids = source(rows=6, batch_size=15).row_ids(0)
    assert sorted(np.bincount(ids, minlength=6)) == [2, 2, 2, 3, 3, 3]


def test_labels_belong_to_features() -> None:
    batch = source(rows=20, batch_size=8).batch(1)
    assert torch.equal(batch.features[:, 0].long() % 5, batch.labels)


def test_the_seed_decides() -> None:
    same, other = source(20, 8), source(20, 8, seed=1)
    assert (source(20, 8).row_ids(3) == same.row_ids(3)).all()
    assert (same.row_ids(3) != other.row_ids(3)).any()
    assert not torch.equal(same.batch(0).noise, other.batch(0).noise)


def test_a_sample_of_classes_is_drawn_anew_for_each_batch() -> None:
    batches = source(20, 8, sample=(3, 5))
    found = [batches.batch(draw).compared for draw in range(40)]
    sets = [set(each.tolist()) for each in found if each is not None]
    assert all(len(each) == 3 and each <= set(range(5)) for each in sets)
    assert len({tuple(sorted(each)) for each in sets}) == 10, "all threes of five classes"
    again = source(7, 3, sample=(3, 5)).batch(17).compared  # of other rows and slots
    assert again is not None
    assert set(again.tolist()) == sets[17]
    assert source(20, 8).batch(0).compared is None
    whole = source(20, 8, sample=(30, 5)).batch(0).compared
    assert whole is not None
    assert len(whole) == 5


def test_mixing_is_independent_of_the_noise() -> None:
    batches = source(rows=20, batch_size=8)
    for draw in range(3):
        words = uniforms(0, Stream.NOISE, draw, slice(0, 8), 4).float()
        assert not torch.isin(batches.batch(draw).mix, words).any()


@pytest.mark.parametrize("order", [range(9), (4, 3, 0, 7, 8, 9, 8), (2, 2, 2)])
def test_draws_made_ahead_are_those_made_alone(order: Any) -> None:
    batches = source(rows=20, batch_size=8)
    for draw in order:
        batch = batches.batch(draw)
        assert torch.equal(batch.features[:, 0].long(), torch.from_numpy(batches.row_ids(draw)))
        assert torch.equal(batch.noise, normals(0, Stream.NOISE, draw, slice(0, 8), 4))
        assert torch.equal(batch.mix, uniforms(0, Stream.MIX, draw, slice(0, 8), 1).float())


def test_the_next_draw_is_made_while_a_step_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[int, str] = {}
    second = threading.Event()

    def recorded(seed: int, stream: Stream, draw: int, *rest: Any) -> torch.Tensor:
        made[draw] = threading.current_thread().name
        if draw == 1:
            second.set()
        return normals(seed, stream, draw, *rest)

    monkeypatch.setattr(module, "normals", recorded)
    batches = source(rows=20, batch_size=8)
    batches.batch(0)
    assert second.wait(10)  # nobody has asked for it
    batches.batch(1)
    assert all(name.startswith("batches") for name in made.values())
    assert max(made) <= 2


def test_an_error_of_a_draw_is_raised_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(seed: int, stream: Stream, draw: int, *rest: Any) -> torch.Tensor:
        if draw == 1:
            raise OSError("no disk")
        return normals(seed, stream, draw, *rest)

    monkeypatch.setattr(module, "normals", broken)
    batches = source(rows=20, batch_size=8)
    batches.batch(0)
    with pytest.raises(OSError, match="no disk"):
        batches.batch(1)
