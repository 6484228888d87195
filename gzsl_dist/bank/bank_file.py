"""The HDF5 files of a bank: how they are made, described, and checked.

A bank of one file holds its rows itself; one of several shards has a *master* file beside them that
presents them as single data sets (HDF5 virtual data sets). The user block of each file (its first
4096 bytes, which HDF5 leaves to applications) holds a checksum of all that blocks have none of.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gzsl_dist.bank.compression import filter_options
from gzsl_dist.bank.layout import AGAIN, STORED_AS, BankInfo, Shard
from gzsl_dist.data.hdf5 import DAMAGE, damaged, hdf5_file, is_plain_name, open_hdf5
from gzsl_dist.data.scaling import Scaling
from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_path

FORMAT, FORMAT_VERSION = "gzsl_dist-bank", 3
SHARD_FORMAT = f"{FORMAT}-shard"
USER_BLOCK, PIECE = 4096, 1 << 22
WRITTEN = 1 << 32  # set in every stored checksum, so that 0 says: not written yet
OPTIONS = {
    "libver": "v110",  # whose structures carry checksums: HDF5 crashes on damaged older ones
    "userblock_size": USER_BLOCK,
    "alignment_threshold": 1 << 16,
    "alignment_interval": USER_BLOCK,
}
PLAIN = (
    "dataset_name", "dataset_fingerprint", "generator_fingerprint", "embedding_fingerprint", "seed",
    "step", "dtype", "compression", "block_rows", "width", "embedding_width", "units",
)  # fmt: skip
"""Fields of `BankInfo` that are attributes of the file."""
FILL = {"float16": np.nan, "float32": np.nan, "bfloat16": 0x7FC0}
"""What HDF5 shows for rows of a missing shard: NaN rather than zeros that look like features."""


@dataclass(frozen=True)
class Bank:
    """A bank and its files.

    Attributes:
        info: what it holds.
        token: what all its files carry.
        shards: the files with its rows; of one that is a single file, that alone.
    """

    info: BankInfo
    token: str
    shards: tuple[Shard, ...]

    def file(self, path: Path, shard: Shard) -> Path:
        """Where a shard of the bank at `path` is."""
        return path.with_name(shard.name) if shard.name else path


def checksum(arrays: Iterable[NDArray[np.generic]]) -> int:
    """CRC-32 of arrays' bytes, with `WRITTEN` set."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(array.data.cast("B"), crc)
    return crc | WRITTEN


@contextmanager
def new_file(path: Path, bank: Bank, shard: Shard | None) -> Iterator[h5py.File]:
    """Make a file of a bank under a temporary name, to be filled and renamed.

    Args:
        path: of the file.
        bank: the bank.
        shard: which shard it is to hold; None: the master file of several.

    Raises:
        OSError: it cannot be written.
    """
    try:
        with atomic_path(path, one_writer=True) as partial:
            # HDF5 reports a full disk where no one can catch it, so rows are compressed in memory
            memory = None if shard is None or bank.info.compression == "none" else BytesIO()
            with hdf5_file(memory or partial, "w", **OPTIONS) as file:
                if shard is None or not shard.name:
                    _describe(file, bank)
                if shard is None:
                    _present(file, bank)
                else:
                    _allot(file, bank, shard)
                yield file
            if memory is not None:
                partial.write_bytes(memory.getbuffer())
            seal(partial)
    except (OSError, RuntimeError) as error:  # the latter when closing fails, as on a full disk
        text = re.search(r"errno = (\d+)", str(error))
        if text is None and not isinstance(error, OSError):
            raise  # not of the file: rows are made meanwhile, and a GPU's memory may be full
        number = getattr(error, "errno", None) or (int(text[1]) if text else None)
        raise OSError(number, str(error).splitlines()[0]) from None


def seal(path: Path) -> None:
    """Write the checksum of all that blocks have none of."""
    block = user_block(path)
    with path.open("r+b") as raw:
        raw.write(block)


def user_block(path: Path) -> bytes:
    """What `seal` writes: with the CRC-32 of a file without the values of contiguous data sets."""
    with hdf5_file(path, "r") as file:
        places = [
            (offset, file[name].id.get_storage_size())
            for name in ("features", "embeddings")
            if name in file and (offset := file[name].id.get_offset()) is not None
        ]
    at, crc, end = USER_BLOCK, 0, path.stat().st_size
    with path.open("rb") as raw:
        for offset, size in [*sorted(places), (end, 0)]:
            raw.seek(at)
            while at < offset and (piece := raw.read(min(PIECE, offset - at))):
                crc, at = zlib.crc32(piece, crc), at + len(piece)
            at = offset + size
    text = f"{FORMAT}\nCRC-32 of all but the values that blocks have checksums of: {crc:08x}\n"
    return text.encode().ljust(USER_BLOCK, b"\0")


def read_bank(path: Path) -> Bank:
    """Read and check what a bank's file says; shards beside it are not opened.

    Raises:
        InputError: missing, not a bank, of another format, damaged or edited, or with references
            out of its folder.
    """
    with open_hdf5(path, own_folder=True) as file:
        try:
            kind, version = file.attrs.get("format"), file.attrs.get("format_version")
            if kind == SHARD_FORMAT:
                name = f"{path.name.split('.')[0]}.h5"
                raise InputError(f"{path}: one shard of a bank; name the whole, {name} beside it")
            if kind != FORMAT:
                raise InputError(f"{path}: not a bank; make one with gzsl_dist.synthesize")
            if version != FORMAT_VERSION:
                raise InputError(
                    f"{path}: a bank of format {version}, this program reads {FORMAT_VERSION}; "
                    f"{AGAIN}"
                )
            info = _info(file)
            if file.attrs["description"] != _digest(info):
                raise InputError(f"{path}: damaged or edited (checksum); {AGAIN}")
            bank = Bank(info, str(file.attrs["bank"]), _shards(file, info))
            _check(file, bank)
        except DAMAGE as error:
            raise damaged(path, error) from None
    return bank


def _present(file: h5py.File, bank: Bank) -> None:
    """Virtual data sets of all shards' rows, and which shards these are."""
    parts = [(s.name, bank.info.rows_of(s.blocks)) for s in bank.shards]
    for name, (shape, dtype) in bank.info.shapes(slice(0, bank.info.rows)).items():
        layout = h5py.VirtualLayout(shape, dtype)
        for shard, rows in parts:
            layout[rows] = h5py.VirtualSource(shard, name, bank.info.shapes(rows)[name][0])
        fill = -1 if name == "labels" else FILL[bank.info.dtype]
        file.create_virtual_dataset(name, layout, fill)
    names = [shard.name for shard in bank.shards]
    file.create_dataset("shards/names", data=names, dtype=h5py.string_dtype())
    file["shards/first_blocks"] = [shard.blocks.start for shard in bank.shards]


def _allot(file: h5py.File, bank: Bank, shard: Shard) -> None:
    """Data sets of a shard's size; uncompressed, their place in the file is settled."""
    info, rows = bank.info, bank.info.rows_of(shard.blocks)
    if shard.name:
        file.attrs.update(format=SHARD_FORMAT, format_version=FORMAT_VERSION, bank=bank.token)
        file.attrs.update(first_row=rows.start, first_block=shard.blocks.start, dtype=info.dtype)
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # else all of it is written twice
    for name, (shape, dtype) in info.shapes(rows).items():
        options: dict[str, Any] = {"dcpl": properties}
        if name != "labels" and info.compression != "none":
            options = {"chunks": (min(info.block_rows, shape[0]), shape[1])}
            options |= filter_options(info.compression)
        file.create_dataset(name, shape, dtype, **options)
    for block in shard.blocks:
        part = info.block(block)
        file["labels"][part.start - rows.start : part.stop - rows.start] = info.labels_of(part)
    file["checksums"] = np.zeros(len(shard.blocks), "<u8")


def _describe(file: h5py.File, bank: Bank) -> None:
    info, scaling = bank.info, bank.info.scaling
    file.create_dataset("classes", data=list(info.classes), dtype=h5py.string_dtype())
    file["semantics"] = info.semantics
    file["scaling/minimum"], file["scaling/extent"] = scaling.minimum, scaling.extent
    file["segments/labels"], file["segments/counts"] = info.labels, info.counts
    norm = np.nan if info.semantics_norm is None else info.semantics_norm
    file.attrs.update({name: getattr(info, name) for name in PLAIN}, semantics_norm=norm)
    file.attrs.update(transform=scaling.transform, rows=info.rows, description=_digest(info))
    file.attrs.update(format=FORMAT, format_version=FORMAT_VERSION, bank=bank.token)
    if info.dtype == "bfloat16":
        file.attrs["stored_as"] = "bits of bfloat16: upper half of a float32"


def _digest(info: BankInfo) -> str:
    return hashlib.sha256(repr(sorted(info.facts().items())).encode()).hexdigest()


def _info(file: h5py.File) -> BankInfo:
    plain: dict[str, Any] = {
        name: value if isinstance(value := file.attrs[name], str) else int(value) for name in PLAIN
    }
    norm = float(file.attrs["semantics_norm"])
    return BankInfo(
        **plain,
        classes=tuple(map(str, file["classes"].asstr()[:])),
        semantics=np.asarray(file["semantics"], dtype=np.float32),
        semantics_norm=None if np.isnan(norm) else norm,
        scaling=Scaling(
            file.attrs["transform"],
            np.asarray(file["scaling/minimum"], dtype=np.float32),
            np.asarray(file["scaling/extent"], dtype=np.float32),
        ),
        labels=np.asarray(file["segments/labels"], dtype=np.int64),
        counts=np.asarray(file["segments/counts"], dtype=np.int64),
    )


def _shards(file: h5py.File, info: BankInfo) -> tuple[Shard, ...]:
    if "shards" not in file:
        return (Shard("", range(info.block_count)),)
    names = [str(name) for name in file["shards/names"].asstr()[:]]
    bounds = [*map(int, file["shards/first_blocks"][:]), info.block_count]
    blocks = [range(*pair) for pair in pairwise(bounds)]
    return tuple(Shard(*pair) for pair in zip(names, blocks, strict=True))


def _check(file: h5py.File, bank: Bank) -> None:
    """Check what a foreign file might say, beyond accidents.

    Raises:
        ValueError: the parts do not fit each other.
    """
    info, scaling = bank.info, bank.info.scaling
    if info.dtype not in STORED_AS or min(info.block_rows, info.rows, info.width) < 1:
        raise ValueError("impossible sizes or type")
    if (info.counts < 1).any() or len(info.counts) != len(info.labels):
        raise ValueError("impossible segments")
    if not np.isin(info.labels, np.arange(len(info.classes))).all():
        raise ValueError("labels that are no class")
    for name, (shape, dtype) in info.shapes(slice(0, info.rows)).items():
        if file[name].shape != shape or file[name].dtype != np.dtype(dtype):
            raise ValueError(f"{name} has another shape or type than the bank")
    if not len(scaling.minimum) == len(scaling.extent) == info.width:
        raise ValueError("scaling of another width")
    if len(info.semantics) != len(info.classes):
        raise ValueError("semantics of other classes")
    if not all(is_plain_name(shard.name) for shard in bank.shards if "shards" in file):
        raise ValueError("a shard outside of the folder")
    if bank.shards[0].blocks.start != 0 or not all(shard.blocks for shard in bank.shards):
        raise ValueError("shards that do not follow each other")
