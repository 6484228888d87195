"""What a bank holds, and whether it is what was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gzsl_dist.bank.checksums import checksum, rest_checksum
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
        low_here, high_here = (float(value) for value in torch.aminmax(inputs))
        if not np.isfinite([low_here, high_here]).all():  # rare: look closer
            nan += int(inputs.isnan().sum())
            infinite += int(inputs.isinf().sum())
            finite = inputs[inputs.isfinite()]
            if not len(finite):
                continue
            low_here, high_here = (float(value) for value in torch.aminmax(finite))
        low, high = min(low, low_here), max(high, high_here)
    return Values(low, high, nan, infinite)


def describe(path: Path) -> str:
    """What `info` prints, without the values."""
    with BankReader(path) as reader:
        reader.check_shards()
        info, counts = reader.info, reader.class_counts
        files = [path.with_name(shard.name) for shard in reader.shards]
    size = path.stat().st_size + sum(file.stat().st_size for file in files)
    each = sorted(set(counts.values()))
    lines = {
        "rows": f"{info.rows} of {info.width} values, {info.dtype}, compression {info.compression}",
        "embeddings": f"{info.embedding_width} values a row" if info.embedding_width else "none",
        "classes": f"{len(counts)} of {len(info.classes)}, "
        + (f"{each[0]} rows each" if len(each) == 1 else f"{each[0]} to {each[-1]} rows each"),
        "data set": f"{info.dataset_name}, fingerprint {info.dataset}",
        "generator": f"step {info.step}, fingerprint {info.generator}",
        "noise": f"seed {info.seed}",
        "scaling": f"{info.scaling.transform}, then to [0, 1] by minimum and extent",
        "blocks": f"{info.block_count} of {info.block_rows} rows in {len(files)} shard(s)",
        "size": f"{size} bytes in {', '.join(file.name for file in [path, *files][:5])}"
        + (" ..." if len(files) > 4 else ""),
    }
    return "\n".join(f"{name:>11}  {text}" for name, text in lines.items())


def verify(path: Path) -> None:
    """Read every byte of a bank and compare checksums.

    Raises:
        InputError: missing, truncated or not what was written; names the first damaged block.
    """
    with BankReader(path) as reader:
        reader.check_shards()
        bad = [text for number in range(len(reader.shards)) for text in _damage(reader, number)]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise InputError(f"{path}: damaged: {bad[0]}{more}; {AGAIN}")


def _damage(reader: BankReader, number: int) -> list[str]:
    info, shard, bad = reader.info, reader.shards[number], []
    sums, rest = reader.checksums(number)
    for block in shard.blocks:
        rows = info.block(block)
        for index, (name, (dtype, width)) in enumerate(info.columns.items()):
            count = rows.stop - rows.start
            array = np.empty((count, width) if width else count, dtype)
            place = f"{name}, rows {rows.start} to {rows.stop - 1} (block {block}) in {shard.name}"
            try:
                reader.read_stored(name, rows, array)
            except InputError:  # a compressed chunk that its filter refuses
                bad.append(place)
                continue
            if checksum(array) != int(sums[block - shard.blocks.start, index]):
                bad.append(place)
            elif name == "labels" and not np.array_equal(array, info.labels_of(rows)):
                bad.append(f"{place} are not those of the master file")
    if rest_checksum(reader.path.with_name(shard.name), list(info.columns)) != rest and not bad:
        bad.append(f"structure of {shard.name}")
    return bad
