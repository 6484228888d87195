"""Shard files: how they are made in one piece, and what lies beside unfinished ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from gzsl_dist.bank.layout import AGAIN, FORMAT_VERSION, SHARD_FORMAT, BankInfo, Shard
from gzsl_dist.data.hdf5 import DAMAGE, hdf5_file, open_hdf5
from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_path

Fill = Callable[[h5py.File], None]


def journal_of(path: Path) -> Path:
    """The journal of a compressed shard."""
    return path.with_name(f".writing-{path.name}.journal")


def finished_blocks(path: Path) -> int | None:
    """How many blocks of an unfinished shard are there, by its own account; None: no file.

    Of a journal it is not known without reading all of it: 0.
    """
    if path.exists():
        try:
            with open_hdf5(path) as file:
                sums = np.asarray(file["checksums"])
                return int((sums > 0).all(axis=1).sum())
        except (*DAMAGE, InputError):
            return 0
    return 0 if journal_of(path).exists() else None


def create_shard(path: Path, info: BankInfo, shard: Shard, token: str, fill: Fill) -> None:
    """Make a shard's HDF5 file beside, then rename it: where it stands, its structure is whole."""
    alignment = {"alignment_threshold": 1 << 16, "alignment_interval": 4096}
    try:
        with (
            atomic_path(path, one_writer=True) as partial,
            hdf5_file(partial, "w", libver="v110", **alignment) as file,
        ):
            file.attrs.update(format=SHARD_FORMAT, format_version=FORMAT_VERSION, bank=token)
            file.attrs.update(
                first_row=shard.rows(info).start, first_block=shard.blocks.start, dtype=info.dtype
            )
            fill(file)
    except RuntimeError as error:  # what h5py raises when closing fails, as on a full disk
        raise OSError(None, f"{path.name}: {str(error).splitlines()[0]}; {AGAIN}") from None
