from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from gzsl_dist.models.prototypes import (
    EMAPrototypes,
    LearnedPrototypes,
    SemanticPrototypes,
)

from .comparing import normal, randomized

CLASSES, SEMANTIC_DIM, DIM = 5, 4, 3
ALL = slice(0, CLASSES)
Source = LearnedPrototypes | SemanticPrototypes | EMAPrototypes


def learned() -> LearnedPrototypes:
    return randomized(LearnedPrototypes(CLASSES, DIM))


def semantic() -> SemanticPrototypes:
    return randomized(SemanticPrototypes(SEMANTIC_DIM, 6, DIM))


def mean(momentum: float = 0.7) -> EMAPrototypes:
    """All classes have been in a batch."""
    source = EMAPrototypes(CLASSES, DIM, momentum).double()
    source.means.copy_(normalize(normal(CLASSES, DIM, seed=9), dim=1))
    return source


def batch(labels: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    return normalize(normal(len(labels), DIM, seed=seed), dim=1), torch.tensor(labels)


all_sources = pytest.mark.parametrize("build", [learned, semantic, mean])
SEMANTICS = normal(CLASSES, SEMANTIC_DIM, seed=42)


@all_sources
@pytest.mark.parametrize("with_batch", [False, True])
def test_prototypes_are_unit_vectors(build: Callable[[], Source], with_batch: bool) -> None:
    rows = batch([0, 2, 2, 4]) if with_batch else None
    prototypes = build()(SEMANTICS, ALL, rows)
    assert prototypes.shape == (CLASSES, DIM)
    torch.testing.assert_close(
        prototypes.norm(dim=1), torch.ones(CLASSES, dtype=torch.float64), rtol=1e-6, atol=1e-6
    )


@all_sources
@pytest.mark.parametrize("edges", [(0, 2, 5), (0, 0, 1, 4, 5, 5), (0, 1, 2, 3, 4, 5, 5, 5)])
@pytest.mark.parametrize("with_batch", [False, True])
def test_slices_agree_with_the_whole(
    build: Callable[[], Source], edges: tuple[int, ...], with_batch: bool
) -> None:
    rows = batch([0, 2, 2, 4]) if with_batch else None
    torch.manual_seed(0)
    source = build()
    state = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    whole = source(SEMANTICS, ALL, rows)
    after = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    parts = []
    for start, stop in pairwise(edges):
        source.load_state_dict(state)  # each process has the same state before
        parts.append(source(SEMANTICS, slice(start, stop), rows))
        for name, tensor in source.state_dict().items():  # and the same state after
            assert torch.equal(tensor, after[name])
    torch.testing.assert_close(torch.cat(parts), whole)


def test_learned_prototypes_are_normalized_parameters() -> None:
    source = learned()
    assert [name for name, _ in source.named_parameters()] == ["vectors"]
    expected = source.vectors / source.vectors.norm(dim=1, keepdim=True)
    torch.testing.assert_close(source(SEMANTICS, ALL), expected)
    # Only the direction matters: the gradient is orthogonal to the vector, and only its class's.
    (gradient,) = torch.autograd.grad(
        (source(SEMANTICS, slice(1, 3)) * normal(2, DIM, seed=3)).sum(), source.vectors
    )
    assert (gradient[[0, 3, 4]] == 0).all()
    assert (gradient[1:3].norm(dim=1) > 0).all()
    torch.testing.assert_close(
        (gradient * source.vectors).sum(dim=1), torch.zeros(CLASSES, dtype=torch.float64)
    )


def test_semantic_prototypes_are_a_normalized_mlp_of_each_class() -> None:
    source = semantic()
    hidden = SEMANTICS @ source.hidden.weight.T + source.hidden.bias
    hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    output = hidden @ source.output.weight.T + source.output.bias
    expected = output / output.norm(dim=1, keepdim=True)
    torch.testing.assert_close(source(SEMANTICS, ALL), expected)
    # Unseen classes have prototypes too.
    more = torch.cat([SEMANTICS, normal(2, SEMANTIC_DIM, seed=1)])
    assert source(more, slice(0, 7)).shape == (7, DIM)


@all_sources
def test_only_means_look_at_the_batch(build: Callable[[], Source]) -> None:
    source = build()
    before = source(SEMANTICS, ALL).clone()
    moved = not torch.equal(source(SEMANTICS, ALL, batch([0, 2, 2, 4])), before)
    assert moved == isinstance(source, EMAPrototypes)


@pytest.mark.parametrize("momentum", [0.0, 0.7, 0.99])
def test_means_equal_a_moving_average_written_by_hand(momentum: float) -> None:
    source = mean(momentum)
    averages = [vector.clone() for vector in source.means]
    batches = [[0, 2, 2, 4], [1, 1, 1], [0, 1, 2, 3, 4, 0, 1, 2], [3]]
    for number, labels in enumerate(batches):
        embeddings, targets = batch(labels, seed=number)
        prototypes = source(SEMANTICS, ALL, (embeddings, targets))
        current = [vector.clone() for vector in averages]
        for c in range(CLASSES):
            rows = [embeddings[i] for i, label in enumerate(labels) if label == c]
            if rows:
                current[c] = sum(rows) / sum(rows).norm()
                mixed = momentum * averages[c] + (1 - momentum) * current[c]
                averages[c] = mixed / mixed.norm()
        torch.testing.assert_close(prototypes, torch.stack(current))
        torch.testing.assert_close(source.means, torch.stack(averages))
        torch.testing.assert_close(source(SEMANTICS, ALL), torch.stack(averages))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_first_batch_of_a_class_is_its_average(momentum: float) -> None:
    """Nothing random stays in it, and a class that was in no batch is similar to nothing."""
    source = EMAPrototypes(CLASSES, DIM, momentum).double()
    embeddings, labels = batch([0, 2, 2])
    source(SEMANTICS, ALL, (embeddings, labels))
    expected = torch.zeros(CLASSES, DIM, dtype=torch.float64)
    expected[0] = embeddings[0]
    expected[2] = normalize(embeddings[1] + embeddings[2], dim=0)
    torch.testing.assert_close(source.means, expected)
    torch.testing.assert_close(source(SEMANTICS, ALL), expected)


def test_gradient_goes_through_the_part_of_the_batch_only() -> None:
    source = mean()
    embeddings, labels = batch([0, 2, 2, 4])
    weights = normal(CLASSES, DIM, seed=3)

    leaf = embeddings.clone().requires_grad_()
    prototypes = source(SEMANTICS, ALL, (leaf, labels))
    assert not source.means.requires_grad
    (gradient,) = torch.autograd.grad((prototypes * weights).sum(), leaf)

    expected_leaf = embeddings.clone().requires_grad_()
    expected = torch.zeros((), dtype=torch.float64)
    for c, rows in {0: [0], 2: [1, 2], 4: [3]}.items():
        center = expected_leaf[rows].mean(dim=0)
        expected = expected + (center / center.norm()) @ weights[c]
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, expected_leaf)[0])


def test_means_are_a_saved_buffer_without_parameters() -> None:
    source = mean()
    assert list(source.parameters()) == []
    assert list(source.state_dict()) == ["means"]
    source(SEMANTICS, ALL, batch([0, 1]))
    copy = mean()
    copy.load_state_dict(source.state_dict())
    assert torch.equal(copy(SEMANTICS, ALL), source(SEMANTICS, ALL))


def test_reading_without_a_batch_does_not_move_the_means() -> None:
    source = mean()
    before = source.means.clone()
    prototypes = source(SEMANTICS, slice(1, 4))
    assert not prototypes.requires_grad
    assert torch.equal(prototypes, before[1:4])
    assert torch.equal(source.means, before)


@pytest.mark.parametrize("rows", [None, batch([0, 1])])
def test_prototypes_read_earlier_stay_as_they_were(rows: tuple[Tensor, Tensor] | None) -> None:
    source = mean()
    prototypes = source(SEMANTICS, ALL, rows)
    before = prototypes.clone()
    source(SEMANTICS, ALL, batch([0, 1, 2, 3, 4], seed=1))
    assert torch.equal(prototypes, before)


def test_order_of_the_batch_does_not_matter() -> None:
    embeddings, labels = batch([0, 2, 2, 4, 0, 1])
    order = torch.tensor([5, 3, 1, 0, 2, 4])
    torch.manual_seed(0)
    source = mean()
    state = source.means.clone()
    expected = source(SEMANTICS, ALL, (embeddings, labels))
    source.means.copy_(state)
    torch.testing.assert_close(source(SEMANTICS, ALL, (embeddings[order], labels[order])), expected)
