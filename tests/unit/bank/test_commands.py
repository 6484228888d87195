"""python -m gzsl_dist.bank, in this process."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from gzsl_dist.bank.__main__ import main
from gzsl_dist.bank.inspection import verify
from gzsl_dist.bank.reader import BankReader
from gzsl_dist.bank.writer import write_bank
from gzsl_dist.errors import InputError

from .banks import ALONE, bank_info, make_block, write


def test_info_and_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bank = write(tmp_path / "bank.h5", bank_info("bfloat16"))
    assert main(["info", "--per-class", str(bank)]) == 0
    text = capsys.readouterr().out
    for words in (
        "58 of 5 values, bfloat16", "3 of 4, 7 to 30 rows each", "d" * 64, "a" * 64, "step 12",
        "0 to 58, 0 NaN, 0 infinite", "21  dög", "8 of 8 rows in 3 shard(s)",
    ):  # fmt: skip
        assert words in text
    assert main(["head", str(bank), "--rows", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ant: 0 0.25 0.5 0.75 1"
    assert lines[7] == "bee: 7 7.25 7.5 7.75 8"
    assert main(["verify", str(bank)]) == 0


def test_merging_banks_of_different_classes(tmp_path: Path) -> None:
    one = write(tmp_path / "one.h5", bank_info(counts=(7, 30), labels=(0, 1)))
    two = write(tmp_path / "two.h5", bank_info(counts=(21,), labels=(3,), compression="lzf"))
    out = tmp_path / "out" / "both.h5"
    assert main(["merge", str(one), str(two), "--out", str(out)]) == 0
    verify(out)
    with h5py.File(out) as both, h5py.File(one) as first, h5py.File(two) as second:
        for name in ("features", "labels", "embeddings"):
            expected = np.concatenate([first[name][:], second[name][:]])
            assert (both[name][:] == expected).all()
    assert list(out.parent.iterdir()) == [out]
    assert BankReader(out).class_counts == {"ant": 7, "bee": 30, "dög": 21}


def test_banks_that_do_not_belong_together_are_not_merged(tmp_path: Path) -> None:
    one, out = write(tmp_path / "one.h5"), tmp_path / "out.h5"
    other = write(tmp_path / "other.h5", bank_info(seed=1, counts=(8,), labels=(2,)))
    for banks, words in (
        ((one, other), "its seed is 1"),
        ((one, one), "holds class 'ant'"),
    ):
        with pytest.raises(InputError, match=words):
            main(["merge", *map(str, banks), "--out", str(out)])
    with pytest.raises(InputError, match="needs --out"):
        main(["merge", str(one)])
    with pytest.raises(InputError, match="one of the banks"):
        main(["merge", str(one), "--out", str(one), "--overwrite"])


def test_damaged_banks_are_not_merged(tmp_path: Path) -> None:
    """Else the copy's checksums would agree with the damage."""
    bank, out = write(tmp_path / "bank.h5"), tmp_path / "out.h5"
    shard = sorted(tmp_path.glob("bank.*.h5"))[1]
    with h5py.File(shard) as file:
        place = file["features"].id.get_offset()
    whole = shard.read_bytes()
    shard.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(InputError, match=rf"damaged: rows .* in {shard.name}"):
        main(["merge", str(bank), "--out", str(out)])
    shard.unlink()
    with pytest.raises(InputError, match=rf"{shard.name}: missing"):
        main(["merge", str(bank), "--out", str(out)])
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_info_counts_nan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def made(rows: slice) -> dict[str, torch.Tensor]:
        return make_block(rows)

    bank = tmp_path / "bank.h5"
    write_bank(bank, bank_info(), made, ALONE, shards=1)
    with h5py.File(bank, "r+") as file:
        file["features"][3, 1:3] = np.nan
        file["features"][40, 2] = np.inf
    assert main(["info", str(bank)]) == 0
    assert "2 NaN, 1 infinite" in capsys.readouterr().out
