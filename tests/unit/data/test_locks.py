"""HDF5 files that cannot be locked: another program has them open, or their disk has no locks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import pytest

from gzsl_dist.bank.bank_file import read_bank, user_block
from gzsl_dist.data.store import read_dataset, write_dataset
from gzsl_dist.data.xlsa17 import read_pair
from gzsl_dist.errors import InputError

from .pairs import variables, write_pair

HOLD = "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print('held', flush=True); input()"


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another program has the file open for writing, as a notebook would."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HDF5_USE_FILE_LOCKING": "TRUE"},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
        other.communicate("\n")


READERS: dict[str, Callable[[Path], Any]] = {
    "data set": read_dataset,
    "bank": read_bank,
    "shard": user_block,
    "MATLAB": lambda path: read_pair(path, path.with_name("splits.mat")),
}


def test_a_file_that_another_program_holds_is_not_damaged(tmp_path: Path) -> None:
    path = write_pair(tmp_path, variables(), hdf5=True)[0]
    with held(path):
        for name, read in READERS.items():
            with pytest.raises(InputError, match="unable to lock file") as caught:
                read(path)
            assert "HDF5_USE_FILE_LOCKING=FALSE" in str(caught.value), name
            assert "\n" not in str(caught.value)


def test_writing_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = read_pair(*write_pair(tmp_path, variables()))

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOLCK, "Unable to create file (No locks available)")

    monkeypatch.setattr(h5py, "File", refused)
    with pytest.raises(InputError, match=r"No locks available.*HDF5_USE_FILE_LOCKING=FALSE"):
        write_dataset(tmp_path / "data.h5", dataset)
