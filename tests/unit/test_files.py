"""What is written beside and renamed survives a power failure, in every place that does so."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.store import write_dataset
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_path, atomic_write

from .bank.banks import bank_info, write

ALONE = DistributedContext(0, 1, torch.device("cpu"))


def save_checkpoint(folder: Path) -> None:
    state = checkpoint.SavedState(3, {"weight": torch.ones(2)}, {})
    checkpoint.save(folder, state, {}, ALONE, keep=2)


# What writes, and how many names it gives: a bank is made empty and renamed whole,
# and compressed rows are in a file anew.
PLACES: dict[str, tuple[Callable[[Path], object], int]] = {
    "text": (lambda folder: atomic_write(folder / "a.json", "{}"), 1),
    "data set": (lambda folder: write_dataset(folder / "d.h5", digits_dataset()), 1),
    "bank": (lambda folder: write(folder / "b.h5", shards=1), 2),
    "compressed bank": (
        lambda folder: write(folder / "b.h5", bank_info(compression="gzip"), shards=1),
        3,
    ),
    "checkpoint": (save_checkpoint, 1),
}


@pytest.mark.parametrize("place", PLACES)
def test_contents_are_synced_before_a_rename_and_its_folder_after(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_there, names = PLACES[place]
    events: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(handle: int) -> None:
        events.append(("sync", os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def note_replace(self: Path, target: Path) -> Path:
        events.extend([("from", str(self)), ("to", str(target))])
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_there(tmp_path)
    renamed = [at for at, (what, _) in enumerate(events) if what == "from"]
    assert len(renamed) == names
    for at in renamed:
        assert ("sync", events[at][1]) in events[:at], "contents"
        assert events[at + 2] == ("sync", str(tmp_path)), "the folder"


def test_two_writers_of_one_file_do_not_spoil_each_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_path(path) as one, atomic_path(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one", "the last to end"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file"
    atomic_write(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"file: cannot be written \(No space left on device\)"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems sync files only."""
    fsync = os.fsync

    def files_only(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", files_only)
    atomic_write(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"
