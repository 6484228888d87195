"""Reading rows of one shard."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from gzsl_dist.bank.compression import load_plugin
from gzsl_dist.bank.layout import AGAIN, BankInfo, Shard
from gzsl_dist.data.hdf5 import DAMAGE, damaged, open_hdf5
from gzsl_dist.errors import InputError


class ShardReader:
    """An open shard.

    Contiguous data sets are read with plain positioned reads, which hold neither HDF5's lock nor
    Python's, so a prefetching thread runs beside the training; compressed ones through HDF5.

    Args:
        path: the file.
        info: what its bank holds.
        shard: its place in the bank.
        token: what all shards of the bank carry.

    Raises:
        InputError: missing, truncated, damaged or no part of the bank.
    """

    def __init__(self, path: Path, info: BankInfo, shard: Shard, token: str) -> None:
        self._path, self._info = path, info
        load_plugin(info.compression)
        if not path.exists():
            raise InputError(
                f"{path}: missing, a shard of the bank; copy all files of a bank together, or "
                f"{AGAIN}"
            )
        self._file: h5py.File = open_hdf5(path)
        self._descriptor = os.open(path, os.O_RDONLY)
        rows = shard.rows(info)
        count = rows.stop - rows.start
        try:
            if str(self._file.attrs["bank"]) != token:
                raise InputError(f"{path}: a shard of another bank; copy the bank's own shards")
            self.checksums = np.asarray(self._file["checksums"], dtype=np.uint64)
            if self.checksums.shape != (len(shard.blocks), len(info.columns)):
                raise ValueError("other blocks than the bank has")
            self._offsets: dict[str, int | None] = {}
            for name, (dtype, width) in info.columns.items():
                dataset = self._file[name]
                if dataset.shape != ((count, width) if width else (count,)):
                    raise ValueError(f"{name} of another shape than the bank's")
                if dataset.dtype != np.dtype(dtype):
                    raise ValueError(f"{name} of another type than the bank's")
                self._offsets[name] = dataset.id.get_offset()
        except InputError:
            self.close()
            raise
        except DAMAGE as error:
            self.close()
            raise damaged(path, error) from None

    def read(self, name: str, first: int, out: NDArray[np.generic]) -> None:
        """Read rows of a column, from row `first` of the shard, as many as `out` has, into `out`.

        Raises:
            InputError: the file ends early or a chunk is damaged.
        """
        offset = self._offsets[name]
        try:
            if offset is None:
                self._file[name].read_direct(out, np.s_[first : first + len(out)])
                return
            data = out.reshape(-1).view(np.uint8).data
            place = offset + first * (data.nbytes // max(1, len(out)))
            while data:
                got = os.preadv(self._descriptor, [data], place)
                if not got:
                    raise InputError(f"{self._path}: truncated; {AGAIN}")
                data, place = data[got:], place + got
        except DAMAGE as error:
            raise damaged(self._path, error) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        os.close(self._descriptor)
