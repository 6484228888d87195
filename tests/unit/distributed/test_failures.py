"""Who reports a failed job, and with which exit code each process ends."""

from __future__ import annotations

import pytest
from torch.distributed import HashStore

from gzsl_dist.distributed.failures import reported_once
from gzsl_dist.errors import (
    DivergedError,
    GzslError,
    InputError,
    LostProcessError,
    OtherProcessError,
    PreemptedError,
)


def ends(store: HashStore, rank: int, error: Exception) -> GzslError:
    """What one process of the job ends with where it met `error`."""
    with pytest.raises(GzslError) as caught, reported_once(store, rank):
        raise error
    return caught.value


CLOSED = "Connection closed by peer [127.0.0.1]:4242"


def test_who_fails_first_reports_it_and_who_loses_it_ends_with_its_code() -> None:
    store = HashStore()
    first = ends(store, 1, DivergedError("a_loss is nan"))
    assert isinstance(first, DivergedError)
    assert first.speaks
    other = ends(store, 0, RuntimeError(CLOSED))
    assert isinstance(other, OtherProcessError)
    assert other.exit_code == 3
    assert store.add("failed", 0) == 2


def test_a_process_that_is_gone_is_told_by_one_of_those_left() -> None:
    store = HashStore()
    assert isinstance(ends(store, 2, RuntimeError(CLOSED)), LostProcessError)
    other = ends(store, 0, RuntimeError(CLOSED))
    assert isinstance(other, OtherProcessError)
    assert other.exit_code == 1


def test_the_same_error_on_all_is_reported_by_the_first() -> None:
    store = HashStore()
    assert type(ends(store, 0, InputError("no such class"))) is InputError
    assert isinstance(ends(store, 1, InputError("no such class")), OtherProcessError)


def test_a_preempted_process_is_no_failure_of_another() -> None:
    """A launcher that is told by a file must see 0 from all of them, or starts the job again."""
    store = HashStore()
    for rank in range(2):
        assert type(ends(store, rank, PreemptedError("saved"))) is PreemptedError
    assert not store.check(["first failure"])
    assert store.add("failed", 0) == 2
