"""Writing banks: contents, going on after a stop, and what is refused."""

from __future__ import annotations

import errno
import os
import random
import resource
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

from gzsl_dist.bank import layout
from gzsl_dist.bank.inspection import verify
from gzsl_dist.bank.layout import BankInfo, Dtype
from gzsl_dist.bank.reader import BankReader
from gzsl_dist.bank.writer import only_writer, unfinished, write_bank
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
            "step": 12, "dtype": "float32", "format_version": 3, "transform": "none",
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
    shard = unfinished(path)
    with h5py.File(shard) as file:
        place = file["features"].id.get_offset() + 20 * 8  # in block 1
    with shard.open("r+b") as raw:
        raw.seek(place)
        raw.write(b"\x55")
    second = Stopping(at=-1)
    write_bank(path, bank_info(), second, ALONE)
    assert second.made == [1, 4, 5, 6, 7]
    verify(path)


def test_one_process_writes_one_file(tmp_path: Path) -> None:
    """A copy of it is whole."""
    path = tmp_path / "bank.h5"
    write_bank(path, bank_info(), make_block, ALONE)
    assert list(tmp_path.iterdir()) == [path]
    copy = shutil.copy(path, tmp_path / "renamed.h5")
    path.unlink()
    verify(Path(copy))
    assert (features_of(Path(copy)) == row_values(slice(0, 58), 5).numpy()).all()


def test_compressed_rows_go_to_small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill costs what of a shard was made."""
    monkeypatch.setattr(layout, "SHARD_BYTES", 500)
    info = bank_info(compression="lzf")
    assert info.rows * info.row_bytes == 58 * 40
    assert len(layout.cut_into_shards(Path("b.h5"), info, 1, "t")) == 4
    assert len(layout.cut_into_shards(Path("b.h5"), bank_info(), 1, "t")) == 1


def big_info(compression: str) -> BankInfo:
    return bank_info(
        "float16", compression, counts=(300, 300, 300), block_rows=16, embeddings=0, width=2000
    )


def wide_block(rows: slice) -> dict[str, Tensor]:
    return {"features": row_values(rows, 2000)}


def write_slowly(path: Path, compression: str, shards: int, begun: Any) -> None:
    def made(rows: slice) -> dict[str, Tensor]:
        begun.value += 1
        time.sleep(0.02)
        return wide_block(rows)

    write_bank(path, big_info(compression), made, ALONE, shards=shards)


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("shards", [1, 2])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    tmp_path: Path, compression: str, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real kills -9 of a real process, at any moment of its writing."""
    monkeypatch.setattr(layout, "SHARD_BYTES", 1 << 17)  # a compressed one is lost as a whole
    path, moments, fork = tmp_path / "bank.h5", random.Random(1), get_context("fork")
    for _ in range(8):
        begun, blocks = fork.Value("i", 0, lock=False), moments.randrange(6)
        process = fork.Process(target=write_slowly, args=(path, compression, shards, begun))
        process.start()
        while begun.value < blocks or not unfinished(path).exists():
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
    assert list(tmp_path.iterdir()) == [path]


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
    assert list(tmp_path.iterdir()) == [path], "one file, as it was begun"


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


def test_a_disk_that_fills_up_is_told_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, calls = tmp_path / "bank.h5", os.pwrite, 0

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
        with pytest.raises(InputError, match=r"disk full.*bytes.*free.*resumes"):
            write(path)
    write(path)
    verify(path)


def write_in_little_room(path: Path, made: Any) -> None:
    """Files may have 64 KiB here, of which HDF5 learns as it does of a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    try:
        write_bank(path, big_info("lzf"), wide_block, ALONE, shards=1)
    except InputError as error:
        made.send(str(error))
    made.send("written")


def test_a_disk_too_full_for_a_compressed_shard_is_told_and_resumed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, fork = tmp_path / "bank.h5", get_context("fork")
    told, tell = fork.Pipe(duplex=False)
    process = fork.Process(target=write_in_little_room, args=(path, tell))
    process.start()
    assert "cannot be written (File too large); the same command resumes" in told.recv()
    process.join()
    assert not capfd.readouterr().err, "h5py's own complaints"
    assert [file.name for file in tmp_path.iterdir()] == [unfinished(path).name]
    write_bank(path, big_info("lzf"), wide_block, ALONE)
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
