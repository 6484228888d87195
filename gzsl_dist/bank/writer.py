"""Writing a bank: every process its own shards, all at once."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from torch import Tensor

from gzsl_dist.bank.checksums import rest_checksum
from gzsl_dist.bank.layout import BankInfo, Shard, to_stored
from gzsl_dist.bank.master import Master, read_master, write_master
from gzsl_dist.bank.plan import Plan, only_writer, open_plan, plan_path, remove_shard
from gzsl_dist.bank.shard_writer import ShardWriter, open_shard
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.errors import InputError

MakeBlock = Callable[[slice], dict[str, Tensor]]
Report = Callable[[int, int], None]


def write_bank(
    path: Path,
    info: BankInfo,
    make_block: MakeBlock,
    processes: Processes,
    *,
    shards: int | None = None,
    overwrite: bool = False,
    report: Report | None = None,
) -> None:
    """Write a bank, or what an earlier start left to write.

    A block is made whole by one process, so the rows do not depend on the number of processes.

    Args:
        path: the master file to make; shards stand beside it.
        info: what the bank holds.
        make_block: gives ``features`` ``(rows, d_x)`` (and ``embeddings``) of the bank's given
            rows. It runs while a thread checks and writes the block before.
        processes: the job.
        shards: number of files, by default one a process; of an unfinished bank they stay.
        overwrite: whether an existing bank may be replaced; it stays until the new one is whole.
        report: called after every block with this process's blocks done and in all.

    Raises:
        InputError: the bank exists, an unfinished one has another description, rows are not
            finite, or the disk is full or not writable.
    """
    with only_writer(path, processes):
        processes.agree_on_folder("output folder", path.parent)
        count = shards or processes.world_size
        plan = processes.once(lambda: open_plan(path, info, count, overwrite=overwrite))
        processes.together(lambda: _write_shards(path, info, plan, make_block, processes, report))
        processes.once(lambda: _complete(path, info, plan))


def remove_bank(path: Path) -> None:
    """Remove a whole bank: first the master file, so that what is left at any moment is no bank.

    Raises:
        InputError: it is no bank; nothing is removed.
    """
    shards = read_master(path).shards
    path.unlink()
    for shard in shards:
        remove_shard(path.with_name(shard.name))


def _write_shards(
    path: Path,
    info: BankInfo,
    plan: Plan,
    make_block: MakeBlock,
    processes: Processes,
    report: Report | None,
) -> None:
    mine = plan.shards[processes.rank :: processes.world_size]
    done, total = 0, sum(len(shard.blocks) for shard in mine)
    try:
        for shard in mine:
            writer = open_shard(path.with_name(shard.name), info, shard, plan.token)
            try:
                for _ in _write_blocks(writer, shard, info, make_block):
                    done += 1
                    if report is not None:
                        report(done, total)
                writer.finish()
            finally:
                writer.close()
    except OSError as error:
        raise _told(error, path, info, total - done) from None


def _write_blocks(
    writer: ShardWriter, shard: Shard, info: BankInfo, make_block: MakeBlock
) -> Iterator[None]:
    """Make and write a shard's blocks; a thread writes one while the next is made."""

    def write(block: int, made: dict[str, Tensor]) -> None:
        arrays = {name: to_stored(values, info.dtype) for name, values in made.items()}
        writer.write(block, {**arrays, "labels": info.labels_of(info.block(block))})

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="bank") as thread:
        writing: Future[None] | None = None
        for block in shard.blocks:
            if block in writer.done:
                yield
                continue
            made = make_block(info.block(block))
            if writing is not None:
                writing.result()
            writing = thread.submit(write, block, made)
            yield
        if writing is not None:
            writing.result()


def _complete(path: Path, info: BankInfo, plan: Plan) -> None:
    """Write the master file; then remove what a replaced bank leaves."""
    try:
        rest = tuple(
            rest_checksum(path.with_name(shard.name), list(info.columns)) for shard in plan.shards
        )
        old: tuple[Shard, ...] = ()
        if path.exists():
            try:
                old = read_master(path).shards
            except InputError:  # whatever stood there, its other files are not known to be ours
                old = ()
        write_master(path, Master(info, plan.token, plan.shards, rest))
        plan_path(path).unlink()
        for shard in old:
            remove_shard(path.with_name(shard.name))
    except OSError as error:
        raise _told(error, path, info, 0) from None


def _told(error: OSError, path: Path, info: BankInfo, blocks: int) -> InputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free
        needed = blocks * info.block_rows * info.row_bytes
        return InputError(
            f"{path}: disk full, this process still needs up to {needed} bytes, {free} are free; "
            "make room, and the same command goes on"
        )
    reason = os.strerror(error.errno) if error.errno else str(error.args[-1])
    return InputError(f"{path}: cannot be written ({reason}); the same command goes on")
