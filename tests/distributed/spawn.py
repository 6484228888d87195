"""Run a function on several real processes that talk by gloo.

They are forked from the server of `tests.forked`: every process a new one, without seconds of
imports each.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from gzsl_dist.distributed.processes import DistributedContext

from ..forked import START_METHOD

PATIENCE = timedelta(seconds=300)  # machines of CI are slow and busy


def run_processes(world_size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Call ``function(processes, *arguments)`` on each process; results in rank order.

    The function must be importable and return tensors, numbers, or containers of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.start_processes(
            _work,
            args=(world_size, folder, function, arguments),
            nprocs=world_size,
            start_method=START_METHOD,
        )
        return [
            torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(world_size)
        ]


def _work(
    rank: int,
    world_size: int,
    folder: str,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world_size), "LOCAL_RANK": str(rank)}
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world_size,
        timeout=PATIENCE,
    )
    result = function(DistributedContext(rank, world_size, torch.device("cpu")), *arguments)
    torch.save(result, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
