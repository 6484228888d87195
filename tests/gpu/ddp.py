"""Gradients and collectives by NCCL (gloo on a CPU) at any number of processes, one included.

A program for torchrun: ``ddp.py cuda|cpu FOLDER`` writes ``FOLDER/<rank>.pt``. The package itself
starts no process group for one process, and trains without DDP then.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gzsl_dist.distributed.collectives import gather_rows_with_gradient
from gzsl_dist.distributed.processes import DistributedContext, collective_backend
from gzsl_dist.distributed.strategies import LocalStrategy
from tests.distributed import test_gradients

BATCH = 24
WIDTH = 3


def collectives(processes: DistributedContext) -> dict[str, Any]:
    """What the package sends, with rows that differ in number: 1 of the first process, 2, ..."""
    rank, world_size, device = processes.rank, processes.world_size, processes.device
    rows = torch.full((rank + 1, WIDTH), float(rank), device=device, requires_grad=True)
    gathered = gather_rows_with_gradient(rows, list(range(1, world_size + 1)))
    (gathered * (rank + 1)).sum().backward()
    total = torch.tensor([rank + 1.0], device=device)
    dist.all_reduce(total)
    first = torch.tensor([rank + 5.0], device=device)
    dist.broadcast(first, src=0)
    objects: list[Any] = [None] * world_size
    dist.all_gather_object(objects, rank)
    assert isinstance(rows.grad, Tensor)
    return {
        "backend": dist.get_backend(),
        "gathered": gathered.detach().cpu(),
        "gradient": rows.grad.cpu(),
        "total": total.item(),
        "first": first.item(),
        "objects": objects,
    }


def main(kind: str, folder: Path) -> None:
    device = torch.device("cpu")
    if kind == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("highest")
    dist.init_process_group(collective_backend(device))
    processes = DistributedContext(dist.get_rank(), dist.get_world_size(), device)
    always = LocalStrategy(processes.world_size)
    test_gradients.choose_strategy = lambda settings, processes: always
    found = collectives(processes)
    for double in (False, True):
        case = test_gradients.Case(processes.world_size, BATCH, double=double)
        found[str(double)] = {
            name: test_gradients.distributed_gradients(processes, name, case)
            for name in test_gradients.SETTINGS
        }
    torch.save(found, folder / f"{processes.rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
