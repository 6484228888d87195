"""What a bank holds and how its rows are cut into blocks and shards."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gzsl_dist.data.dataset import FloatArray, IntArray
from gzsl_dist.data.scaling import Scaling
from gzsl_dist.errors import InputError

FORMAT = "gzsl_dist-bank"
SHARD_FORMAT = "gzsl_dist-bank-shard"
FORMAT_VERSION = 2
AGAIN = "synthesize the bank again"

Dtype = Literal["float16", "bfloat16", "float32"]
STORED_AS = {"float16": "<f2", "bfloat16": "<u2", "float32": "<f4"}
"""HDF5 type of each `Dtype`; HDF5 has no bfloat16 that tools agree on, so its bits are stored."""


@dataclass(frozen=True)
class BankInfo:
    """What a bank holds and what it was made from.

    Attributes:
        dataset_name: name of the data set.
        dataset: its fingerprint.
        generator: fingerprint of the generator's weights.
        embedding: fingerprint of the embedding network whose h is stored; empty without.
        classes: names of all classes of the data set; labels are numbers in this list.
        semantics: ``(classes, d_a)`` as published.
        semantics_norm: length that semantics are scaled to before they enter the generator.
        scaling: how real features are scaled to compare with the bank's.
        seed: of the noise.
        step: generator steps of the checkpoint.
        labels: ``(runs,)`` class number of each run of consecutive rows.
        counts: ``(runs,)`` rows of each run.
        width: d_x.
        embedding_width: size of h; 0 without.
        dtype: type of features and embeddings.
        compression: ``none`` or a filter's name.
        block_rows: rows of a block; the last block may be shorter.
    """

    dataset_name: str
    dataset: str
    generator: str
    embedding: str
    classes: tuple[str, ...]
    semantics: FloatArray
    semantics_norm: float | None
    scaling: Scaling
    seed: int
    step: int
    labels: IntArray
    counts: IntArray
    width: int
    embedding_width: int
    dtype: Dtype
    compression: str
    block_rows: int

    @property
    def rows(self) -> int:
        """N, rows of the whole bank."""
        return int(self.counts.sum())

    @property
    def block_count(self) -> int:
        """Number of blocks."""
        return -(-self.rows // self.block_rows)

    @property
    def columns(self) -> dict[str, tuple[str, int]]:
        """Each data set's HDF5 type and width (0: one value a row)."""
        stored = STORED_AS[self.dtype]
        columns = {"features": (stored, self.width), "labels": ("<i8", 0)}
        if self.embedding_width:
            columns["embeddings"] = (stored, self.embedding_width)
        return columns

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in all data sets, uncompressed."""
        return sum(
            np.dtype(dtype).itemsize * max(1, width) for dtype, width in self.columns.values()
        )

    def block(self, number: int) -> slice:
        """Rows of a block."""
        return slice(number * self.block_rows, min((number + 1) * self.block_rows, self.rows))

    def labels_of(self, rows: slice) -> IntArray:
        """Class numbers ``(rows,)``."""
        ends = np.cumsum(self.counts)
        return self.labels[np.searchsorted(ends, np.arange(rows.start, rows.stop), side="right")]

    def facts(self) -> dict[str, str]:
        """All that decides a bank's contents, as text, to compare an unfinished bank's with."""

        def digest(*arrays: NDArray[np.generic]) -> str:
            hashed = hashlib.sha256()
            for array in arrays:
                hashed.update(str((array.dtype.str, array.shape)).encode())
                hashed.update(np.ascontiguousarray(array).data)
            return hashed.hexdigest()

        return {
            "data set": self.dataset,
            "generator": self.generator,
            "embedding network": self.embedding,
            "seed": str(self.seed),
            "step": str(self.step),
            "classes": hashlib.sha256("\0".join(self.classes).encode()).hexdigest(),
            "classes to synthesize": digest(self.labels),
            "rows per class": f"{self.counts.min()} to {self.counts.max()}, {digest(self.counts)}",
            "semantics": digest(self.semantics),
            "semantics' norm": str(self.semantics_norm),
            "scaling": f"{self.scaling.transform}, "
            + digest(self.scaling.minimum, self.scaling.extent),
            "width": str(self.width),
            "embeddings": str(self.embedding_width),
            "dtype": self.dtype,
            "compression": self.compression,
            "rows of a block": str(self.block_rows),
        }


@dataclass(frozen=True)
class Shard:
    """A file with consecutive blocks of a bank.

    Attributes:
        name: plain file name, in the bank's folder.
        blocks: numbers of its blocks.
    """

    name: str
    blocks: range

    def rows(self, info: BankInfo) -> slice:
        """Its rows in the bank."""
        return slice(info.block(self.blocks.start).start, info.block(max(self.blocks[-1], 0)).stop)


def cut_into_shards(path: Path, info: BankInfo, count: int, token: str) -> list[Shard]:
    """Deal the blocks to `count` shards, at most one a block.

    The names have a part of their own, so that a bank can be written beside the one it replaces.
    """
    count = max(1, min(count, info.block_count))
    bounds = [info.block_count * number // count for number in range(count + 1)]
    # Only plain characters: HDF5 reads % in the name of a virtual data set's source as a pattern.
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)
    return [
        Shard(f"{stem}.{token}.{number:04d}.h5", range(bounds[number], bounds[number + 1]))
        for number in range(count)
    ]


def to_stored(values: Tensor, dtype: Dtype) -> NDArray[np.generic]:
    """The array to store for ``(rows, width)`` values.

    Raises:
        InputError: a value is NaN or infinite, or too large for the type.
    """
    converted = values.detach().to(cast(torch.dtype, getattr(torch, dtype))).cpu().contiguous()
    # NaN and infinity show in the range, which is found twenty times as fast as by isfinite
    if not all(bool(torch.isfinite(bound)) for bound in torch.aminmax(converted)):
        whole = bool(torch.isfinite(values).all())
        remedy = "use --dtype bfloat16 or float32" if whole else "train the run anew"
        raise InputError(
            f"synthetic rows hold values that are {'too large for ' + dtype if whole else 'NaN'}"
            f"{'' if whole else ' or infinite'}; {remedy}"
        )
    array: NDArray[np.generic]
    if dtype == "bfloat16":
        array = converted.view(torch.int16).numpy().view("<u2")
    else:
        array = converted.numpy()
    return array


def from_stored(array: NDArray[np.generic], dtype: Dtype) -> Tensor:
    """The tensor of what `to_stored` made, without a copy, in the stored type."""
    if dtype == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
