"""What a bank holds and how its rows are cut into blocks and shards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gzsl_dist.data.dataset import FloatArray, IntArray
from gzsl_dist.data.scaling import Scaling
from gzsl_dist.errors import InputError

AGAIN = "synthesize the bank again"
SHARD_BYTES = 64 << 20
"""Values of a compressed shard: what a kill costs, as such a shard is made in one piece."""

Dtype = Literal["float16", "bfloat16", "float32"]
Units = Literal["scaled", "original"]
Column = Literal["features", "embeddings"]
STORED_AS = {"float16": "<f2", "bfloat16": "<u2", "float32": "<f4"}
"""HDF5 type of each `Dtype`; HDF5 has no bfloat16 that tools agree on, so its bits are stored."""


class Batch(NamedTuple):
    """Rows ``(rows, d)`` and their class numbers ``(rows,)`` in the data set."""

    inputs: Tensor
    labels: Tensor


@dataclass(frozen=True)
class BankInfo:
    """What a bank holds and what it was made from.

    Attributes:
        dataset_name: name of the data set.
        dataset_fingerprint: of its contents.
        generator_fingerprint: of the generator's weights.
        embedding_fingerprint: of the embedding network whose h is stored; empty without.
        classes: names of all classes of the data set; labels are numbers in this list.
        semantics: ``(classes, d_a)`` as published.
        semantics_norm: length that semantics are scaled to before they enter the generator.
        scaling: how real features are scaled before they enter the networks.
        seed: of the noise.
        step: generator steps of the checkpoint.
        labels: ``(segments,)`` class number of each segment of consecutive rows.
        counts: ``(segments,)`` rows of each segment.
        width: d_x.
        embedding_width: size of h; 0 without.
        dtype: type of features and embeddings.
        compression: ``none`` or a filter's name.
        block_rows: rows of a block; the last block may be shorter.
        units: whether features are scaled, as the networks see them, or as real features are.
    """

    dataset_name: str
    dataset_fingerprint: str
    generator_fingerprint: str
    embedding_fingerprint: str
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
    units: Units = "scaled"

    @property
    def rows(self) -> int:
        """N, rows of the whole bank."""
        return int(self.counts.sum())

    @property
    def block_count(self) -> int:
        """Number of blocks."""
        return -(-self.rows // self.block_rows)

    @property
    def value_columns(self) -> tuple[Column, ...]:
        """The data sets with a row's values: features, and embeddings if there are any."""
        return ("features", "embeddings") if self.embedding_width else ("features",)

    def shapes(self, rows: slice) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and HDF5 type of each data set of so many rows."""
        count, stored = rows.stop - rows.start, STORED_AS[self.dtype]
        shapes = {"features": ((count, self.width), stored), "labels": ((count,), "<i8")}
        if self.embedding_width:
            shapes["embeddings"] = ((count, self.embedding_width), stored)
        return shapes

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in all data sets, uncompressed."""
        return sum(
            int(np.prod(shape)) * np.dtype(dtype).itemsize
            for shape, dtype in self.shapes(slice(0, 1)).values()
        )

    @cached_property
    def ends(self) -> IntArray:
        """``(segments,)`` the row after each segment."""
        return np.cumsum(self.counts)

    def rows_of(self, blocks: range) -> slice:
        """Rows of consecutive blocks."""
        return slice(blocks.start * self.block_rows, min(blocks.stop * self.block_rows, self.rows))

    def block(self, number: int) -> slice:
        """Rows of a block."""
        return self.rows_of(range(number, number + 1))

    def labels_of(self, rows: slice) -> IntArray:
        """Class numbers ``(rows,)``."""
        at = np.searchsorted(self.ends, np.arange(rows.start, rows.stop), side="right")
        return self.labels[at]

    def facts(self) -> dict[str, str]:
        """All that decides a bank's contents, as text, to compare two banks by."""
        return {name: _text(value) for name, value in vars(self).items() if name != "ends"}


def _text(value: object) -> str:
    if isinstance(value, Scaling):
        return f"{value.transform}, {_text(np.concatenate([value.minimum, value.extent]))}"
    if isinstance(value, tuple):
        return hashlib.sha256("\0".join(value).encode()).hexdigest()[:16]
    if not isinstance(value, np.ndarray):
        return str(value)
    digest = hashlib.sha256(repr((value.dtype.str, value.shape)).encode())
    digest.update(np.ascontiguousarray(value).data)
    return f"{value.min():g} to {value.max():g}, {digest.hexdigest()[:16]}"


class Selection:
    """Some of a bank's rows, numbered anew without gaps: all of it, or some classes.

    Args:
        starts: ``(segments,)`` first row of each segment.
        counts: ``(segments,)`` rows of each.
    """

    def __init__(self, starts: IntArray, counts: IntArray) -> None:
        self._ends = np.cumsum(counts)
        self._shifts = starts - (self._ends - counts)
        self.rows = int(counts.sum())

    def pieces(self, rows: slice) -> Iterator[slice]:
        """The bank's rows behind rows of the selection, in order."""
        segment, at = int(np.searchsorted(self._ends, rows.start, side="right")), rows.start
        while at < rows.stop:
            stop, shift = min(rows.stop, int(self._ends[segment])), int(self._shifts[segment])
            yield slice(at + shift, stop + shift)
            segment, at = segment + 1, stop


class Shard(NamedTuple):
    """A file with consecutive blocks of a bank.

    Attributes:
        name: plain file name, in the bank's folder; empty: the bank is this one file.
        blocks: numbers of its blocks.
    """

    name: str
    blocks: range


def cut_into_shards(path: Path, info: BankInfo, count: int, token: str) -> tuple[Shard, ...]:
    """Deal the blocks to `count` shards, at most one a block; more where they are compressed.

    The names have a part of their own, so that a bank can be written beside the one it replaces.
    """
    if info.compression != "none":
        count = max(count, info.rows * info.row_bytes // SHARD_BYTES)
    count = max(1, min(count, info.block_count))
    if count == 1:
        return (Shard("", range(info.block_count)),)
    bounds = [info.block_count * number // count for number in range(count + 1)]
    # Only plain characters: HDF5 reads % in the name of a virtual data set's source as a pattern.
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)
    return tuple(
        Shard(f"{stem}.{token}.{number:04d}.h5", range(*bounds[number : number + 2]))
        for number in range(count)
    )


def to_stored(values: Tensor, dtype: Dtype) -> NDArray[np.generic]:
    """The array to store for ``(rows, width)`` values.

    Raises:
        InputError: a value is NaN or infinite, or too large for the type.
    """
    converted = values.detach().to(cast(torch.dtype, getattr(torch, dtype))).cpu().contiguous()
    # NaN and infinity show in the range, which is found twenty times as fast as by isfinite
    if not all(bool(torch.isfinite(bound)) for bound in torch.aminmax(converted)):
        if torch.isfinite(values).all():
            what, remedy = f"too large for {dtype}", "use --dtype bfloat16 or float32"
        else:
            what, remedy = "NaN or infinite", "train the run anew"
        raise InputError(f"synthetic rows hold values that are {what}; {remedy}")
    if dtype == "bfloat16":
        return converted.view(torch.int16).numpy().view("<u2")
    return cast(NDArray[np.generic], converted.numpy())


def from_stored(array: NDArray[np.generic], dtype: Dtype) -> Tensor:
    """The tensor of what `to_stored` made, without a copy, in the stored type."""
    if dtype == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
