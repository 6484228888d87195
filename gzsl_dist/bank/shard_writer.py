"""Writing a shard block by block, so that a kill at any moment loses the current block at most.

HDF5 keeps no promise for a file that is open for writing when its process dies. So neither of the
two writers has one open while blocks are written: see `gzsl_dist.bank.raw_shard` (no compression)
and `gzsl_dist.bank.journal_shard`. Both know a finished block by its checksum, which is checked on
resume: the order in which the system writes pages back does not matter, and neither fsyncs before
the end of the shard.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gzsl_dist.bank.journal_shard import JournalShardWriter
from gzsl_dist.bank.layout import BankInfo, Shard
from gzsl_dist.bank.raw_shard import RawShardWriter


class ShardWriter(Protocol):
    """Writes one shard; `done` are the numbers of its finished blocks."""

    done: set[int]

    def write(self, block: int, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Write a block's rows of every column."""

    def finish(self) -> None:
        """Make the complete shard last; nothing is written after."""

    def close(self) -> None:
        """Let go of files."""


def open_shard(path: Path, info: BankInfo, shard: Shard, token: str) -> ShardWriter:
    """Open a shard to write what it lacks, creating it where it is missing.

    Raises:
        InputError: a file of that name is damaged or no part of this bank.
        OSError: the disk is full, or the folder cannot be written.
    """
    kind = RawShardWriter if info.compression == "none" else JournalShardWriter
    return kind(path, info, shard, token)
