"""Draws depend on (seed, stream, draw, slot) alone and have the right distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from gzsl_dist.data.draws import Stream, held_out_rows, normals, permutation, uniforms

DRAWS = {"uniforms": uniforms, "normals": normals}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 16, 17])
def test_any_slots_can_be_drawn_alone(name: str, width: int) -> None:
    draw = DRAWS[name]
    whole = draw(7, Stream.NOISE, 3, slice(0, 12), width)
    assert whole.shape == (12, width)
    for slots in (slice(0, 5), slice(5, 12), slice(11, 12), slice(4, 4)):
        assert torch.equal(draw(7, Stream.NOISE, 3, slots, width), whole[slots])


@pytest.mark.parametrize("name", DRAWS)
def test_seed_stream_and_draw_all_matter(name: str) -> None:
    draw = DRAWS[name]
    base = draw(7, Stream.NOISE, 3, slice(0, 8), 4)
    others = [
        draw(8, Stream.NOISE, 3, slice(0, 8), 4),
        draw(7, Stream.BANK, 3, slice(0, 8), 4),
        draw(7, Stream.NOISE, 4, slice(0, 8), 4),
        draw(7, Stream.NOISE, 3, slice(8, 16), 4),
    ]
    for other in others:
        assert not torch.isin(other, base).any()


def test_distributions() -> None:
    slots = slice(0, 4000)
    uniform = uniforms(1, Stream.MIX, 0, slots, 5)
    assert uniform.min() > 0
    assert uniform.max() <= 1
    assert kstest(uniform.flatten().numpy(), "uniform").pvalue > 1e-3
    normal = normals(1, Stream.NOISE, 0, slots, 5)
    assert kstest(normal.flatten().numpy(), "norm").pvalue > 1e-3
    correlation = np.corrcoef(normal.numpy().T) - np.eye(5)
    assert np.abs(correlation).max() < 0.06


def test_permutation_holds_every_row_once() -> None:
    order = permutation(0, Stream.ROWS, 2, 100)
    assert sorted(order) == list(range(100))
    assert (order != permutation(0, Stream.ROWS, 3, 100)).any()
    assert (order == permutation(0, Stream.ROWS, 2, 100)).all()


def test_no_two_streams_share_words() -> None:
    assert list(Stream.__members__) == [stream.name for stream in Stream], "an alias"
    words = torch.cat([uniforms(0, stream, 0, slice(0, 8), 4).flatten() for stream in Stream])
    assert len(words.unique()) == len(words)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9])
def test_held_out_rows_are_those_of_a_loop_over_classes(share: float) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(30, 400, p=rng.dirichlet(np.ones(30)))
    among = rng.random(400) < 0.8
    for allowed in (None, among, np.zeros(400, dtype=bool)):
        expected = np.zeros(400, dtype=bool)
        for label in np.unique(labels):
            here = labels == label if allowed is None else (labels == label) & allowed
            rows = np.flatnonzero(here)
            if share and len(rows):
                count = min(max(1, round(share * len(rows))), len(rows) - 1)
                order = permutation(7, Stream.SPLIT, 1 + int(label), len(rows))
                expected[rows[order[:count]]] = True
        assert np.array_equal(held_out_rows(labels, share, 7, allowed), expected)
