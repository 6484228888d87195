"""Reading banks: blocks, classes, shuffled batches, and damaged or hostile files."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from gzsl_dist.bank.bank_file import new_file, read_bank
from gzsl_dist.bank.inspection import verify
from gzsl_dist.bank.prefetch import prefetched
from gzsl_dist.bank.reader import BankReader
from gzsl_dist.errors import InputError

from .banks import ALONE, bank_info, make_block, row_values, write

ROWS = 58


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return write(tmp_path / "bank.h5")


def numbers(reader: BankReader, batch_size: int, **settings: object) -> list[list[int]]:
    """Row numbers of each batch: what the first feature of a row says."""
    return [batch.inputs[:, 0].int().tolist() for batch in reader.shuffled(batch_size, **settings)]


def flat(lists: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def test_blocks_are_all_rows_in_order(bank: Path) -> None:
    with BankReader(bank) as reader:
        batches = list(reader.blocks())
        assert [len(batch.labels) for batch in batches] == [8] * 7 + [2]
        assert torch.equal(
            torch.cat([batch.inputs for batch in batches]), row_values(slice(0, ROWS), 5)
        )
        embeddings = torch.cat([batch.inputs for batch in reader.blocks(column="embeddings")])
        assert torch.equal(embeddings, -row_values(slice(0, ROWS), 3))
        assert [*next(reader.blocks(numbers=range(3, 4))).inputs[:, 0]] == [*range(24, 32)]


def test_some_classes_only(bank: Path) -> None:
    with BankReader(bank) as reader:
        batches = list(reader.blocks(["dög", "ant"]))
        assert torch.cat([batch.labels for batch in batches]).tolist() == [0] * 7 + [3] * 21
        rows = [int(row) for batch in batches for row in batch.inputs[:, 0]]
        assert rows == [*range(7), *range(37, 58)]
        assert sorted(flat(numbers(reader, 4, classes=["dög", "ant"]))) == rows
        with pytest.raises(InputError, match="holds no class 'cow'"):
            list(reader.blocks(["cow"]))


def test_embeddings_must_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "bank.h5", bank_info(embeddings=0))
    with pytest.raises(InputError, match="holds no embeddings"):
        list(BankReader(path).blocks(column="embeddings"))


@pytest.mark.parametrize("batch_size", [1, 3, 8, 16, 100])
@pytest.mark.parametrize("window_blocks", [1, 2, 5, 100])
def test_shuffled_gives_each_row_once_the_same_at_any_number_of_processes(
    bank: Path, batch_size: int, window_blocks: int
) -> None:
    with BankReader(bank) as reader:
        alone = numbers(reader, batch_size, seed=3, window_blocks=window_blocks)
        assert sorted(flat(alone)) == list(range(ROWS))
        for world_size in (2, 3, 4):
            shares = [
                numbers(
                    reader, batch_size, seed=3, window_blocks=window_blocks,
                    rank=rank, world_size=world_size,
                )
                for rank in range(world_size)
            ]  # fmt: skip
            assert [flat(parts) for parts in zip(*shares, strict=True)] == alone


def test_shuffled_resumes_at_any_step(bank: Path) -> None:
    with BankReader(bank) as reader:
        for batch_size in (3, 8):
            alone = numbers(reader, batch_size, window_blocks=2)
            for step in range(len(alone) + 2):
                settings = {"window_blocks": 2, "start_step": step}
                assert numbers(reader, batch_size, **settings) == alone[step:]
                assert len(reader.shuffled(batch_size, **settings)) == len(alone[step:])


def test_a_resumed_reader_does_not_read_what_lies_before(
    bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    with BankReader(bank) as reader:
        real = reader.read_stored

        def counted(column: str, rows: slice, out: np.ndarray) -> None:
            nonlocal read
            read += len(out)
            real(column, rows, out)

        monkeypatch.setattr(reader, "read_stored", counted)
        last = numbers(reader, 8, window_blocks=1, start_step=6)
        assert read <= 3 * 8
        assert len(last) == 2


def test_shuffled_depends_on_seed_and_epoch_and_mixes_blocks(tmp_path: Path) -> None:
    info = bank_info(counts=(512,), labels=(1,))
    with BankReader(write(tmp_path / "bank.h5", info)) as reader:
        orders = [
            flat(numbers(reader, 16, seed=seed, epoch=epoch, window_blocks=8))
            for seed, epoch in ((0, 0), (0, 1), (1, 0))
        ]
        assert len({tuple(order) for order in orders}) == 3
        first_windows = {frozenset(row // 8 for row in order[:64]) for order in orders}
        assert len(first_windows) == 3, "other blocks meet in each"
        assert {len(blocks) for blocks in first_windows} == {8}, "blocks of one window only"
        blocks_of_a_batch = {row // 8 for row in orders[0][:16]}
        assert len(blocks_of_a_batch) > 4
        assert abs(np.corrcoef(orders[0], range(512))[0, 1]) < 0.3


def test_a_rank_reads_its_own_rows_only(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    with BankReader(bank) as reader:
        real = reader.read_stored

        def counted(column: str, rows: slice, out: np.ndarray) -> None:
            nonlocal read
            read += len(out)
            real(column, rows, out)

        monkeypatch.setattr(reader, "read_stored", counted)
        rows = flat(numbers(reader, 8, rank=1, world_size=4))
        assert read == len(rows) < ROWS / 3


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_data_loader_workers_give_the_same_batches(bank: Path, context: str) -> None:
    with BankReader(bank) as reader:
        next(reader.blocks())  # open files, which workers must not use
        expected = list(reader.shuffled(8, window_blocks=2))
        loader = DataLoader(
            reader.shuffled(8, window_blocks=2), batch_size=None, num_workers=2,
            multiprocessing_context=context,
        )  # fmt: skip
        found = list(loader)
        assert len(found) == len(expected)
        for (inputs, labels), batch in zip(found, expected, strict=True):
            assert torch.equal(inputs, batch.inputs)
            assert torch.equal(labels, batch.labels)


def test_impossible_sizes_are_refused(bank: Path) -> None:
    reader = BankReader(bank)
    for settings in ({"batch_size": 0}, {"batch_size": 4, "rank": 2, "world_size": 2}):
        with pytest.raises(InputError, match="shuffled reading"):
            reader.shuffled(**settings)


def test_prefetching_stays_one_ahead_and_tells_errors() -> None:
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(10):
            made += 1
            if number == 6:
                raise ValueError("six")
            yield number

    ahead = prefetched(items())
    for expected in range(6):
        assert next(ahead) == expected
        assert made <= expected + 2
    with pytest.raises(ValueError, match="six"):
        next(ahead)
    stopped = prefetched(iter(range(10)))
    next(stopped)
    stopped.close()  # must not wait for ever


def test_a_moved_folder_is_read_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    write(old / "bank.h5")
    shutil.move(old, new)
    monkeypatch.chdir("/")
    verify(new / "bank.h5")
    with h5py.File(new / "bank.h5") as file:
        assert (file["features"][:] == row_values(slice(0, ROWS), 5).numpy()).all()


def test_a_missing_shard_is_named(bank: Path) -> None:
    shard = sorted(bank.parent.glob("bank.*.h5"))[1]
    shard.unlink()
    for action in (verify, lambda path: list(BankReader(path).blocks())):
        with pytest.raises(InputError, match=rf"{shard.name}: missing, a shard"):
            action(bank)
    with h5py.File(bank) as file:
        assert np.isnan(file["features"][:]).any(), "plain h5py shows NaN rather than zeros"


def test_a_truncated_shard_is_named(bank: Path) -> None:
    shard = sorted(bank.parent.glob("bank.*.h5"))[1]
    for size in (shard.stat().st_size - 1, shard.stat().st_size // 2, 10, 0):
        os.truncate(shard, size)
        with pytest.raises(InputError, match=shard.name):
            verify(bank)


def test_what_is_no_bank_is_refused(tmp_path: Path) -> None:
    text, other, absent = tmp_path / "text.h5", tmp_path / "other.h5", tmp_path / "absent.h5"
    text.write_text("features")
    with h5py.File(other, "w") as file:
        file["features"] = np.zeros((2, 2))
    whole = write(tmp_path / "whole.h5")
    (shard, *_) = tmp_path.glob("whole.*.h5")
    for path, words in (
        (text, "not an HDF5 file"), (other, "not a bank"), (absent, "no such file"),
        (tmp_path, "is no file"), (shard, f"one shard of a bank; name the whole, {whole.name}"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            BankReader(path)


def test_a_bank_of_an_older_format_is_refused(bank: Path) -> None:
    with h5py.File(bank, "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(InputError, match="a bank of format 2, this program reads 3; synthesize"):
        BankReader(bank)


def test_a_shard_of_another_bank_is_refused(bank: Path) -> None:
    other = write(bank.with_name("other.h5"))
    mine, theirs = (sorted(bank.parent.glob(f"{path.stem}.*.h5"))[0] for path in (bank, other))
    shutil.copy(theirs, mine)
    with pytest.raises(InputError, match="a shard of another bank"):
        verify(bank)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_verify_finds_one_flipped_bit_anywhere(tmp_path: Path, compression: str) -> None:
    bank = write(tmp_path / "bank.h5", bank_info(compression=compression))
    draw = random.Random(0)
    for file in sorted(tmp_path.iterdir()):
        contents = file.read_bytes()
        for _ in range(40):
            place = draw.randrange(len(contents))
            spoiled = bytearray(contents)
            spoiled[place] ^= 1 << draw.randrange(8)
            file.write_bytes(spoiled)
            with pytest.raises(InputError):
                verify(bank)
        file.write_bytes(contents)
    verify(bank)


def test_verify_names_the_damaged_rows(bank: Path) -> None:
    shard = sorted(bank.parent.glob("bank.*.h5"))[1]
    with h5py.File(shard) as file:
        first, place = file.attrs["first_row"], file["features"].id.get_offset()
    with shard.open("r+b") as raw:
        raw.seek(place + 9 * 20)  # row 9 of the shard, in its second block
        byte = raw.read(1)[0]
        raw.seek(place + 9 * 20)
        raw.write(bytes([byte ^ 1]))
    rows = f"rows {first + 8} to {first + 15}"
    with pytest.raises(InputError, match=rf"{rows} .* in {shard.name}"):
        verify(bank)


def test_labels_that_the_master_file_does_not_tell_are_found(bank: Path) -> None:
    """Plain h5py reads the shards' labels, BankReader the master's: they must be the same."""
    found = read_bank(bank)
    info = replace(found.info, counts=np.array([8, 29, 21]))
    with new_file(bank, replace(found, info=info), None):
        pass
    with pytest.raises(InputError, match=r"labels, .* are not those of bank.h5"):
        verify(bank)


def test_references_out_of_the_folder_are_refused(bank: Path, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere" / "secret.h5"
    secret.parent.mkdir()
    with h5py.File(secret, "w") as file:
        file["features"] = np.zeros((ROWS, 5), np.float32)
    for name in (str(secret), "elsewhere/secret.h5", "../x/secret.h5", ".."):
        hostile = bank.with_name("hostile.h5")
        shutil.copy(bank, hostile)
        with h5py.File(hostile, "r+") as file:
            del file["features"]
            layout = h5py.VirtualLayout((ROWS, 5), "f4")
            layout[:] = h5py.VirtualSource(name, "features", (ROWS, 5))
            file.create_virtual_dataset("features", layout)
        with pytest.raises(InputError, match="no plain name of a file in the same folder"):
            BankReader(hostile)
    with h5py.File(hostile, "r+") as file:
        del file["features"]
        file["features"] = h5py.ExternalLink("secret.h5", "features")
    with pytest.raises(InputError, match="ExternalLink"):
        BankReader(hostile)


def test_a_shard_that_keeps_its_data_elsewhere_is_refused(bank: Path) -> None:
    shard = sorted(bank.parent.glob("bank.*.h5"))[0]
    with h5py.File(shard, "r+") as file:
        shape = file["features"].shape
        del file["features"]
        layout = h5py.VirtualLayout(shape, "f4")
        layout[:] = h5py.VirtualSource("secret.h5", "features", shape)
        file.create_virtual_dataset("features", layout)
    with pytest.raises(InputError, match="in another file"):
        list(BankReader(bank).blocks())


def test_an_unfinished_bank_says_what_is_missing(tmp_path: Path) -> None:
    from gzsl_dist.bank.writer import write_bank

    from .test_writer import Stopping

    path = tmp_path / "bank.h5"
    with pytest.raises(InputError, match="stopped"):
        write_bank(path, bank_info(), Stopping(at=3), ALONE, shards=2)
    with pytest.raises(InputError) as caught:
        BankReader(path)
    assert "unfinished bank, lacks 5 of 8 blocks; the command that began" in str(caught.value)
    write_bank(path, bank_info(), make_block, ALONE)
    BankReader(path)
