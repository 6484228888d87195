"""Writing banks: contents, going on after a stop, and what is refused."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import time
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from gzsl_dist.bank.inspection import verify
from gzsl_dist.bank.journal_shard import JournalShardWriter
from gzsl_dist.bank.layout import BankInfo, Dtype
from gzsl_dist.bank.plan import only_writer, plan_path
from gzsl_dist.bank.reader import BankReader
from gzsl_dist.bank.writer import write_bank
from gzsl_dist.errors import InputError

from .banks import ALONE, bank_info, make_block, row_values, write


def features_of(path: Path) -> np.ndarray:
    with h5py.File(path) as bank:
        return bank["features"][:]


class Stopping:
    """Makes blocks, and fails at the given one; notes what it made."""

    def __init__(self, at: int) -> None:
        self.at, self.made = at, list[int]()

    def __call__(self, rows: slice) -> dict[str, Tensor]:
        if len(self.made) == self.at:
            raise InputError("stopped")
        self.made.append(rows.start // 8)
        return make_block(rows)


@pytest.mark.parametrize("compression", ["none", "lzf", "gzip", "zstd"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_plain_h5py_reads_it_in_five_lines(tmp_path: Path, dtype: Dtype, compression: str) -> None:
    if compression == "zstd":
        pytest.importorskip("hdf5plugin")
    path = write(tmp_path / "bank.h5", bank_info(dtype, compression))
    with h5py.File(path) as bank:
        features, labels = bank["features"][:], bank["labels"][:]
        names = bank["classes"].asstr()[:][labels]
        embeddings = bank["embeddings"][:]
    if dtype == "bfloat16":  # as docs/bank.md says
        features = (features.astype(np.uint32) << 16).view(np.float32)
        embeddings = (embeddings.astype(np.uint32) << 16).view(np.float32)
    expected = row_values(slice(0, 58), 5)
    assert (features == expected.numpy()).all()
    assert (embeddings == -row_values(slice(0, 58), 3).numpy()).all()
    assert names.tolist() == ["ant"] * 7 + ["bee"] * 30 + ["dög"] * 21
    verify(path)
    with BankReader(path) as reader:
        batch = reader.read(slice(0, 58))
    assert torch.equal(batch.inputs.float(), expected)
    assert [*batch.labels] == [0] * 7 + [1] * 30 + [3] * 21


def test_attributes_say_what_it_was_made_from(tmp_path: Path) -> None:
    path = write(tmp_path / "bank.h5")
    with h5py.File(path) as bank:
        for name, value in {
            "dataset_fingerprint": "d" * 64, "generator_fingerprint": "a" * 64, "seed": 0,
            "step": 12, "dtype": "float32", "format_version": 2, "transform": "none",
        }.items():  # fmt: skip
            assert bank.attrs[name] == value
        assert bank["semantics"].shape == (4, 2)
        assert bank["scaling/minimum"].shape == (5,)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_stopped_writer_goes_on_behind_its_finished_blocks(
    tmp_path: Path, compression: str
) -> None:
    path, info = tmp_path / "bank.h5", bank_info("float16", compression)
    first = Stopping(at=4)
    with pytest.raises(InputError, match="stopped"):
        write_bank(path, info, first, ALONE, shards=2)
    assert not path.exists()
    second = Stopping(at=-1)
    write_bank(path, info, second, ALONE, shards=7)  # the shards stay two
    assert first.made == [0, 1, 2, 3]
    assert second.made == [4, 5, 6, 7]
    assert len(list(tmp_path.iterdir())) == 3, "nothing but master and shards is left"
    verify(path)
    assert (features_of(path) == features_of(write(tmp_path / "other.h5", info))).all()


def test_a_block_that_was_spoilt_before_resuming_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "bank.h5"
    with pytest.raises(InputError, match="stopped"):
        write_bank(path, bank_info(), Stopping(at=4), ALONE, shards=1)
    (shard,) = tmp_path.glob("bank.*.h5")
    with h5py.File(shard) as file:
        place = file["features"].id.get_offset() + 20 * 8  # in block 1
    with shard.open("r+b") as raw:
        raw.seek(place)
        raw.write(b"\x55")
    second = Stopping(at=-1)
    write_bank(path, bank_info(), second, ALONE)
    assert second.made == [1, 4, 5, 6, 7]
    verify(path)


def test_half_a_record_in_a_journal_hides_nothing_behind_it(tmp_path: Path) -> None:
    path, info = tmp_path / "bank.h5", bank_info(compression="gzip")
    with pytest.raises(InputError, match="stopped"):
        write_bank(path, info, Stopping(at=2), ALONE)
    (journal,) = tmp_path.glob(".writing-*.journal")
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole[:100])
    with pytest.raises(InputError, match="stopped"):
        write_bank(path, info, Stopping(at=3), ALONE)
    last = Stopping(at=-1)
    write_bank(path, info, last, ALONE)
    assert last.made == [5, 6, 7]
    verify(path)


def test_a_spoilt_record_of_a_journal_is_made_again(tmp_path: Path) -> None:
    path, info = tmp_path / "bank.h5", bank_info(compression="gzip")
    with pytest.raises(InputError, match="stopped"):
        write_bank(path, info, Stopping(at=4), ALONE)
    (journal,) = tmp_path.glob(".writing-*.journal")
    contents, header, place = bytearray(journal.read_bytes()), JournalShardWriter.HEADER, 0
    for _ in range(2):  # block 0's features and embeddings
        place += header.size + header.unpack_from(contents, place)[4]
    contents[place + header.size + 9] ^= 1  # in block 1's features
    journal.write_bytes(contents)
    last = Stopping(at=-1)
    write_bank(path, info, last, ALONE)
    assert last.made == list(range(1, 8))
    verify(path)
    assert (features_of(path) == row_values(slice(0, 58), 5).numpy()).all()


def big_info(compression: str) -> BankInfo:
    return bank_info(
        "float16", compression, counts=(300, 300, 300), block_rows=16, embeddings=0, width=2000
    )


def wide_block(rows: slice) -> dict[str, Tensor]:
    return {"features": row_values(rows, 2000)}


def write_slowly(path: Path, compression: str, begun: Any) -> None:
    def made(rows: slice) -> dict[str, Tensor]:
        begun.value += 1
        time.sleep(0.02)
        return wide_block(rows)

    write_bank(path, big_info(compression), made, ALONE, shards=2)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    tmp_path: Path, compression: str
) -> None:
    """Real kills -9 of a real process, at any moment of its writing."""
    path, moments, fork = tmp_path / "bank.h5", random.Random(1), get_context("fork")
    for _ in range(8):
        begun, blocks = fork.Value("i", 0, lock=False), moments.randrange(6)
        process = fork.Process(target=write_slowly, args=(path, compression, begun))
        process.start()
        while begun.value < blocks or not plan_path(path).exists():
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, 0.02))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL, "finished before it could be killed"
    with pytest.raises(InputError, match="unfinished bank, lacks"):
        BankReader(path)
    info = big_info(compression)
    made = list[slice]()

    def note(rows: slice) -> dict[str, Tensor]:
        made.append(rows)
        return wide_block(rows)

    write_bank(path, info, note, ALONE)
    assert 0 < len(made) < info.block_count, "the kills must leave blocks, and work to do"
    verify(path)
    write_bank(tmp_path / "undisturbed.h5", info, wide_block, ALONE)
    assert features_of(path).tobytes() == features_of(tmp_path / "undisturbed.h5").tobytes()


def test_an_unfinished_bank_of_another_description_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bank.h5"
    with pytest.raises(InputError, match="stopped"):
        write_bank(path, bank_info(), Stopping(at=4), ALONE)
    with pytest.raises(InputError, match=r"another seed \(0, now 1\)"):
        write(path, bank_info(seed=1))
    with pytest.raises(InputError, match=r"another dtype \(float32, now float16\)"):
        write(path, bank_info("float16"))
    write_bank(path, bank_info(seed=1), make_block, ALONE, overwrite=True)
    assert BankReader(path).info.seed == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_bank_is_replaced_only_when_asked_and_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "bank.h5")
    with pytest.raises(InputError, match="exists already"):
        write(path, bank_info(seed=1))
    with pytest.raises(InputError, match="stopped"):
        write_bank(path, bank_info(seed=1), Stopping(at=4), ALONE, overwrite=True)
    verify(path)
    assert BankReader(path).info.seed == 0
    write_bank(path, bank_info(seed=1), make_block, ALONE, shards=2, overwrite=True)
    verify(path)
    assert BankReader(path).info.seed == 1
    assert len(list(tmp_path.iterdir())) == 2, "of one shard, as it was begun"


def test_a_folder_is_not_replaced_by_a_bank(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(InputError, match="run: is a folder"):
        write_bank(folder, bank_info(), make_block, ALONE, overwrite=True)
    assert list(tmp_path.iterdir()) == [folder], "nothing was made before"


def test_too_little_room_is_told_before_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    row = 5 * 4 + 3 * 4 + 8
    with pytest.raises(InputError, match=f"needs {58 * row} bytes, 1000 are free"):
        write(tmp_path / "bank.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_disk_that_fills_up_is_told_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    path, info, real, calls = tmp_path / "bank.h5", bank_info("float32", compression), os.pwrite, 0

    def pwrite(descriptor: int, data: memoryview, offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 8:
            return real(descriptor, data[: len(data) // 2], offset)  # cut short
        if calls > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", pwrite)
        with pytest.raises(InputError, match=r"disk full.*bytes.*free.*goes on"):
            write(path, info)
    write(path, info)
    verify(path)


def test_two_jobs_do_not_write_the_same_bank(tmp_path: Path) -> None:
    path = tmp_path / "bank.h5"
    with only_writer(path, ALONE), pytest.raises(InputError, match="another job"):
        write(path)
    write(path)


def test_a_disk_without_locks_is_not_another_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refused)
    with (
        pytest.raises(InputError, match=r"cannot be locked \(No locks available\)"),
        only_writer(tmp_path / "bank.h5", ALONE),
    ):
        pass


def test_values_that_the_type_cannot_hold_are_refused(tmp_path: Path) -> None:
    def made(value: float) -> dict[str, Tensor]:
        return {"features": torch.full((8, 5), value), "embeddings": torch.zeros(8, 3)}

    info = bank_info("float16", counts=(8,), labels=(1,))
    for value, words in ((1e5, "too large for float16"), (np.nan, "NaN"), (np.inf, "infinite")):
        with pytest.raises(InputError, match=words):
            write_bank(tmp_path / "bank.h5", info, lambda _, value=value: made(value), ALONE)
