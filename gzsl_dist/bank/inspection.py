"""What a bank holds, and whether it is what was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gzsl_dist.bank.bank_file import USER_BLOCK, user_block
from gzsl_dist.bank.layout import AGAIN
from gzsl_dist.bank.reader import BankReader
from gzsl_dist.errors import InputError


@dataclass(frozen=True)
class Values:
    """Range of the finite features, and how many are NaN or infinite."""

    minimum: float
    maximum: float
    nan: int
    infinite: int


def feature_values(reader: BankReader) -> Values:
    """Read all features and look at their values."""
    low, high, nan, infinite = np.inf, -np.inf, 0, 0
    for inputs, _ in reader.blocks(dtype=None):
        finite = inputs
        if not all(bool(bound.isfinite()) for bound in torch.aminmax(inputs)):  # rare: look closer
            nan += int(inputs.isnan().sum())
            infinite += int(inputs.isinf().sum())
            finite = inputs[inputs.isfinite()]
        if finite.numel():
            low_here, high_here = (float(value) for value in torch.aminmax(finite))
            low, high = min(low, low_here), max(high, high_here)
    return Values(low, high, nan, infinite)


def describe(path: Path) -> str:
    """What `info` prints, without the values."""
    with BankReader(path) as reader:
        reader.check_shards()
        info, counts = reader.info, reader.class_counts
        files = _files(reader)
    size = sum(file.stat().st_size for file in files)
    low, high = min(counts.values()), max(counts.values())
    rows_each = f"{low} rows each" if low == high else f"{low} to {high} rows each"
    transform = f"{info.scaling.transform}, then to [0, 1] by minimum and extent"
    lines = {
        "rows": f"{info.rows} of {info.width} values, {info.dtype}, compression {info.compression}",
        "embeddings": f"{info.embedding_width} values a row" if info.embedding_width else "none",
        "classes": f"{len(counts)} of {len(info.classes)}, {rows_each}",
        "data set": f"{info.dataset_name}, fingerprint {info.dataset_fingerprint}",
        "generator": f"step {info.step}, fingerprint {info.generator_fingerprint}",
        "noise": f"seed {info.seed}",
        "scaling": transform if info.units == "scaled" else "none, original units",
        "blocks": f"{info.block_count} of {info.block_rows} rows in "
        f"{len(reader.bank.shards)} shard(s)",
        "size": f"{size} bytes in {', '.join(file.name for file in files[:5])}"
        + (" ..." if len(files) > 5 else ""),
    }
    return "\n".join(f"{name:>11}  {text}" for name, text in lines.items())


def verify(path: Path) -> None:
    """Read every byte of a bank and compare checksums.

    Raises:
        InputError: missing, truncated or not what was written; names the first damaged block.
    """
    with BankReader(path) as reader:
        reader.check_shards()
        bad = [text for number in range(len(reader.bank.shards)) for text in _bad(reader, number)]
        for file in _files(reader):
            with file.open("rb") as raw:
                if raw.read(USER_BLOCK) != user_block(file):
                    bad.append(f"structure of {file.name}")
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise InputError(f"{path}: damaged: {bad[0]}{more}; {AGAIN}")


def _files(reader: BankReader) -> list[Path]:
    """All files of a bank, its own first."""
    shards = reader.bank.shards
    return list(dict.fromkeys([reader.path, *(reader.bank.file(reader.path, s) for s in shards)]))


def _bad(reader: BankReader, number: int) -> list[str]:
    info, shard, bad = reader.info, reader.bank.shards[number], []
    file = reader.bank.file(reader.path, shard).name
    for block in shard.blocks:
        rows = info.block(block)
        place = f"rows {rows.start} to {rows.stop - 1} (block {block}) in {file}"
        if not reader.shard(number).intact(block):
            bad.append(place)
        labels = np.empty(rows.stop - rows.start, np.int64)
        reader.read_stored("labels", rows, labels)
        if not np.array_equal(labels, info.labels_of(rows)):
            bad.append(f"labels, {place}, are not those of {reader.path.name}")
    return bad
