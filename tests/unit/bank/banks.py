"""Small banks whose every value is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gzsl_dist.bank.layout import BankInfo, Dtype
from gzsl_dist.bank.writer import write_bank
from gzsl_dist.data.scaling import Scaling
from gzsl_dist.distributed.processes import DistributedContext

ALONE = DistributedContext(0, 1, torch.device("cpu"))
WIDTH = 5


def bank_info(
    dtype: Dtype = "float32",
    compression: str = "none",
    *,
    counts: tuple[int, ...] = (7, 30, 21),
    labels: tuple[int, ...] = (0, 1, 3),
    block_rows: int = 8,
    embeddings: int = 3,
    width: int = WIDTH,
    seed: int = 0,
) -> BankInfo:
    return BankInfo(
        dataset_name="toy",
        dataset_fingerprint="d" * 64,
        generator_fingerprint="a" * 64,
        embedding_fingerprint="e" * 64 if embeddings else "",
        classes=("ant", "bee", "cow", "dög"),
        semantics=np.arange(8, dtype=np.float32).reshape(4, 2),
        semantics_norm=None,
        scaling=Scaling("none", np.zeros(width, np.float32), np.ones(width, np.float32)),
        seed=seed,
        step=12,
        labels=np.array(labels),
        counts=np.array(counts),
        width=width,
        embedding_width=embeddings,
        dtype=dtype,
        compression=compression,
        block_rows=block_rows,
    )


def row_values(rows: slice, width: int) -> Tensor:
    """Row r holds r, r + 1/4, ... : exact in every stored type for the rows of these tests."""
    return torch.arange(rows.start, rows.stop)[:, None] + torch.arange(width) / 4


def make_block(rows: slice) -> dict[str, Tensor]:
    return {"features": row_values(rows, WIDTH), "embeddings": -row_values(rows, 3)}


def write(path: Path, info: BankInfo | None = None, shards: int = 3) -> Path:
    write_bank(path, info or bank_info(), make_block, ALONE, shards=shards)
    return path
