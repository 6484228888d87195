"""Several banks, or one of many shards, written anew as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gzsl_dist.bank.inspection import verify
from gzsl_dist.bank.layout import BankInfo, Column
from gzsl_dist.bank.reader import BankReader
from gzsl_dist.bank.writer import Report, write_bank
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError

FREE_TO_DIFFER = {"labels", "counts", "block_rows", "compression"}


def merge_banks(
    banks: Sequence[Path],
    out: Path,
    processes: DistributedContext,
    *,
    shards: int = 1,
    overwrite: bool = False,
    report: Report | None = None,
) -> BankInfo:
    """Write the rows of banks of one generator one after another into a new bank.

    Type of values, compression and block size are those of the first. All are verified before.

    Raises:
        InputError: they are of different generators, data sets, seeds, scalings or types, share a
            class, one is damaged or incomplete, or `out` exists or is one of them.
    """
    readers = processes.run_on_all_ranks(lambda: [BankReader(path) for path in banks])
    processes.agree(
        {f"bank {reader.path}": f"bank {reader.token}" for reader in readers},
        "give all machines the same banks, on shared storage or as equal copies",
    )
    first = readers[0]
    ours = first.info.facts()
    seen: dict[str, Path] = {}
    for reader in readers:
        if reader.path.resolve() == out.resolve():
            raise InputError(f"{out}: is one of the banks to merge; choose another --out")
        for name, value in reader.info.facts().items():
            if name not in FREE_TO_DIFFER and value != ours[name]:
                raise InputError(
                    f"{reader.path}: its {name} is {value}, that of {first.path} {ours[name]}; "
                    "only banks of one run and type can be merged"
                )
        for name in reader.class_counts:
            if name in seen:  # the same noise, so the same rows again
                raise InputError(
                    f"{reader.path}: holds class {name!r}, as {seen[name]} does; merge banks of "
                    "different classes"
                )
            seen[name] = reader.path

    for path in banks:  # else damage would get checksums that agree with it
        processes.run_on_rank0(partial(verify, path))
    info = replace(
        first.info,
        labels=np.concatenate([reader.info.labels for reader in readers]),
        counts=np.concatenate([reader.info.counts for reader in readers]),
    )
    ends = np.cumsum([len(reader) for reader in readers])

    def make_block(rows: slice) -> dict[str, Tensor]:
        parts: dict[Column, list[Tensor]] = {"features": []}
        if info.embedding_width:
            parts["embeddings"] = []
        for reader, end in zip(readers, ends, strict=True):
            start = int(end) - len(reader)
            piece = slice(max(rows.start, start) - start, min(rows.stop, int(end)) - start)
            if piece.start < piece.stop:
                for column, found in parts.items():
                    found.append(reader.read(piece, column).inputs)
        return {column: torch.cat(found) for column, found in parts.items()}

    write_bank(out, info, make_block, processes, shards=shards, overwrite=overwrite, report=report)
    return info
