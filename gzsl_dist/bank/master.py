"""The master file: presents all shards as single data sets, and says what the bank holds.

It is small and written last, in one piece, so a bank that has it is complete. Its user block (the
first 512 bytes, which HDF5 leaves to applications) holds the SHA-256 of all that follows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from gzsl_dist.bank.layout import (
    AGAIN,
    FORMAT,
    FORMAT_VERSION,
    SHARD_FORMAT,
    STORED_AS,
    BankInfo,
    Shard,
)
from gzsl_dist.data.hdf5 import DAMAGE, damaged, hdf5_file, is_plain_name, open_hdf5
from gzsl_dist.data.scaling import Scaling
from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_path

USER_BLOCK = 512
FILL = {"float16": np.nan, "float32": np.nan, "bfloat16": 0x7FC0}
"""What HDF5 shows for rows of a missing shard: NaN rather than zeros that look like features."""


@dataclass(frozen=True)
class Master:
    """What a master file holds.

    Attributes:
        info: what the bank holds.
        token: what all its shards carry.
        shards: its files.
        rest: of each shard, the checksum of all that its blocks do not cover.
    """

    info: BankInfo
    token: str
    shards: tuple[Shard, ...]
    rest: tuple[int, ...]


def write_master(path: Path, master: Master) -> None:
    """Write beside and rename into place.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_path(path, one_writer=True) as partial:
        try:
            _fill(partial, master)
        except RuntimeError as error:  # what h5py raises when closing fails, as on a full disk
            raise OSError(None, str(error).splitlines()[0]) from None
        block = _user_block(partial)
        with partial.open("r+b") as raw:
            raw.write(block)


def _fill(path: Path, master: Master) -> None:
    info = master.info
    with hdf5_file(path, "w", userblock_size=USER_BLOCK) as file:
        for name, (dtype, width) in info.columns.items():
            _virtual(file, name, dtype, width, master)
        if info.dtype == "bfloat16":
            for name in set(info.columns) - {"labels"}:
                file[name].attrs["stored_as"] = "bits of bfloat16: upper half of a float32"
        file.create_dataset("classes", data=list(info.classes), dtype=h5py.string_dtype())
        file["semantics"] = info.semantics
        file["scaling/minimum"] = info.scaling.minimum
        file["scaling/extent"] = info.scaling.extent
        file["runs/labels"], file["runs/counts"] = info.labels, info.counts
        names = [shard.name for shard in master.shards]
        file.create_dataset("shards/names", data=names, dtype=h5py.string_dtype())
        file["shards/first_blocks"] = [shard.blocks.start for shard in master.shards]
        file["shards/checksums"] = np.array(master.rest, "<u8")
        file.attrs.update(
            format=FORMAT,
            format_version=FORMAT_VERSION,
            bank=master.token,
            dataset_name=info.dataset_name,
            dataset_fingerprint=info.dataset,
            generator_fingerprint=info.generator,
            embedding_fingerprint=info.embedding,
            semantics_norm=np.nan if info.semantics_norm is None else info.semantics_norm,
            transform=info.scaling.transform,
            seed=info.seed,
            step=info.step,
            dtype=info.dtype,
            compression=info.compression,
            block_rows=info.block_rows,
            rows=info.rows,
        )


def read_master(path: Path) -> Master:
    """Read and check a master file; the shards are not opened.

    Raises:
        InputError: missing, unfinished, no bank, of another format, damaged or edited, or with
            references out of its folder.
    """
    with open_hdf5(path, own_folder=True) as file:
        try:
            kind, version = str(file.attrs.get("format")), str(file.attrs.get("format_version"))
            if kind == SHARD_FORMAT:
                name = f"{path.name.split('.')[0]}.h5"
                raise InputError(f"{path}: one shard of a bank; name the whole, {name} beside it")
            if kind != FORMAT:
                raise InputError(f"{path}: not a bank; make one with gzsl_dist.synthesize")
            if version != str(FORMAT_VERSION):
                raise InputError(
                    f"{path}: a bank of format {version}, this program reads {FORMAT_VERSION}; "
                    "synthesize it again"
                )
            with path.open("rb") as raw:
                if raw.read(USER_BLOCK) != _user_block(path):
                    raise InputError(f"{path}: damaged or edited (checksum); {AGAIN}")
            master = _read(file)
            _check(file, master)
        except DAMAGE as error:
            raise damaged(path, error) from None
    return master


def _virtual(file: h5py.File, name: str, dtype: str, width: int, master: Master) -> None:
    info = master.info
    tail = (width,) if width else ()
    layout = h5py.VirtualLayout((info.rows, *tail), dtype)
    for shard in master.shards:
        rows = shard.rows(info)
        layout[rows] = h5py.VirtualSource(shard.name, name, (rows.stop - rows.start, *tail))
    file.create_virtual_dataset(name, layout, -1 if name == "labels" else FILL[info.dtype])


def _user_block(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as raw:
        raw.seek(USER_BLOCK)
        while piece := raw.read(1 << 20):
            digest.update(piece)
    return f"{FORMAT}\nsha256 of what follows: {digest.hexdigest()}\n".encode().ljust(
        USER_BLOCK, b"\0"
    )


def _read(file: h5py.File) -> Master:
    attributes, norm = file.attrs, float(file.attrs["semantics_norm"])
    names = [str(name) for name in file["shards/names"].asstr()[:]]
    firsts = [int(first) for first in file["shards/first_blocks"][:]]
    embeddings = file.get("embeddings")
    info = BankInfo(
        dataset_name=str(attributes["dataset_name"]),
        dataset=str(attributes["dataset_fingerprint"]),
        generator=str(attributes["generator_fingerprint"]),
        embedding=str(attributes["embedding_fingerprint"]),
        classes=tuple(map(str, file["classes"].asstr()[:])),
        semantics=np.asarray(file["semantics"], dtype=np.float32),
        semantics_norm=None if np.isnan(norm) else norm,
        scaling=Scaling(
            attributes["transform"],
            np.asarray(file["scaling/minimum"], dtype=np.float32),
            np.asarray(file["scaling/extent"], dtype=np.float32),
        ),
        seed=int(attributes["seed"]),
        step=int(attributes["step"]),
        labels=np.asarray(file["runs/labels"], dtype=np.int64),
        counts=np.asarray(file["runs/counts"], dtype=np.int64),
        width=int(file["features"].shape[1]),
        embedding_width=0 if embeddings is None else int(embeddings.shape[1]),
        dtype=attributes["dtype"],
        compression=str(attributes["compression"]),
        block_rows=int(attributes["block_rows"]),
    )
    stops = [*firsts[1:], info.block_count]
    shards = tuple(
        Shard(name, range(first, stop))
        for name, first, stop in zip(names, firsts, stops, strict=True)
    )
    rest = tuple(int(value) for value in file["shards/checksums"][:])
    return Master(info, str(attributes["bank"]), shards, rest)


def _check(file: h5py.File, master: Master) -> None:
    """Check what a foreign file might say, beyond accidents.

    Raises:
        ValueError: the parts do not fit each other.
    """
    info = master.info
    if info.dtype not in STORED_AS or info.block_rows < 1 or info.rows < 1 or info.width < 1:
        raise ValueError("impossible sizes or type")
    if (info.counts < 1).any() or len(info.counts) != len(info.labels):
        raise ValueError("impossible runs")
    if not np.isin(info.labels, np.arange(len(info.classes))).all():
        raise ValueError("labels that are no class")
    for name, (dtype, width) in info.columns.items():
        shape = (info.rows, width) if width else (info.rows,)
        if file[name].shape != shape or file[name].dtype != np.dtype(dtype):
            raise ValueError(f"{name} has another shape or type than the bank")
    if len(info.scaling.minimum) != info.width or len(info.scaling.extent) != info.width:
        raise ValueError("scaling of another width")
    if len(info.semantics) != len(info.classes):
        raise ValueError("semantics of other classes")
    if len(master.rest) != len(master.shards) or not master.shards:
        raise ValueError("no shards")
    if not all(is_plain_name(shard.name) for shard in master.shards):
        raise ValueError("a shard outside of the folder")
    if master.shards[0].blocks.start != 0 or not all(shard.blocks for shard in master.shards):
        raise ValueError("shards that do not follow each other")
