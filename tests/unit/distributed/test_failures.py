"""Who reports a failed job, and with which exit code each process ends."""

from __future__ import annotations

import time

import pytest
from torch.distributed import HashStore

from gzsl_dist import command
from gzsl_dist.distributed import failures
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


def test_a_loss_is_reported_beside_its_cause() -> None:
    """A process that waited too long for another has not learnt why that one was late."""
    store = HashStore()
    assert isinstance(ends(store, 0, RuntimeError("Timed out waiting")), LostProcessError)
    late = ends(store, 1, OSError(5, "Input/output error", "data.h5"))
    assert type(late) is InputError
    assert str(late) == "data.h5: Input/output error"
    assert late.speaks
    other = ends(store, 2, RuntimeError(CLOSED))
    assert isinstance(other, OtherProcessError)
    assert other.exit_code == 2


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    store = HashStore()
    with pytest.raises(ZeroDivisionError), reported_once(store, 1):
        _ = 1 / 0
    assert ends(store, 0, RuntimeError(CLOSED)).exit_code == 1


class Dead(HashStore):
    """A store whose process is gone."""

    def check(self, keys: list[str]) -> bool:
        raise RuntimeError("Broken pipe")

    def compare_set(self, key: str, expected: str, desired: str) -> bytes:
        raise RuntimeError("Broken pipe")


class Frozen(HashStore):
    """A store whose machine has lost power: it never answers."""

    def check(self, keys: list[str]) -> bool:
        time.sleep(3600)
        return False

    def compare_set(self, key: str, expected: str, desired: str) -> bytes:
        time.sleep(3600)
        return b""


@pytest.mark.parametrize("kind", [Dead, Frozen])
def test_without_a_store_every_process_reports_its_error(
    kind: type[HashStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "ANSWER_S", 0.2)
    assert type(ends(kind(), 1, InputError("no such class"))) is InputError
    assert isinstance(ends(kind(), 1, RuntimeError(CLOSED)), LostProcessError)
    assert ends(kind(), 1, InputError("no such class")).speaks


def test_it_has_reported_before_a_silent_process_may_end() -> None:
    assert failures.LINGER_S < command.SILENT_SECONDS
