"""Writing a bank: every process its own shards, all at once; killed, the same call resumes it.

Until all rows are there, the bank's own file stands under a temporary name, ``.writing-<name>``,
and says what the bank is to hold and which shards it has.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gzsl_dist.bank.bank_file import Bank, new_file, read_bank
from gzsl_dist.bank.layout import BankInfo, Shard, cut_into_shards
from gzsl_dist.bank.shard_file import MakeBlock, finished_blocks, write_shard
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.files import PARTIAL, exclusive_lock, rename

REMEDY = "--overwrite discards it and begins anew"
Report = Callable[[int, int], None]


def write_bank(
    path: Path,
    info: BankInfo,
    make_block: MakeBlock,
    processes: DistributedContext,
    *,
    shards: int | None = None,
    overwrite: bool = False,
    report: Report | None = None,
) -> None:
    """Write a bank, or what an earlier start left to write.

    A block is made whole by one process, so the rows do not depend on the number of processes.

    Args:
        path: the bank's file; where there are several, they stand beside it.
        info: what the bank holds.
        make_block: gives ``features`` ``(rows, d_x)`` (and ``embeddings``) of the bank's given
            rows. It runs while a thread checks and writes the block before.
        processes: the job.
        shards: number of files with rows, by default one a process; of an unfinished bank they
            stay, and a compressed one has more.
        overwrite: whether an existing bank may be replaced; it stays until the new one is whole.
        report: called after every block with this process's blocks done and in all.

    Raises:
        InputError: the bank exists, an unfinished one has another description, rows are not
            finite, or the disk is full or not writable.
    """
    count = shards or processes.world_size
    with only_writer(path, processes):
        processes.agree_on_folder("output folder", path.parent)
        token, files = processes.run_on_rank0(
            lambda: _begin(path, info, count, overwrite=overwrite)
        )
        bank = Bank(info, token, files)
        processes.run_on_all_ranks(lambda: _write_shards(path, bank, make_block, processes, report))
        processes.run_on_rank0(lambda: _finish(path, bank))


def refuse_unfinished(path: Path) -> None:
    """Say what is missing where only an unfinished bank is.

    Raises:
        InputError: it is unfinished.
    """
    if path.exists() or not unfinished(path).exists():
        return
    lacking, total = _lacking(path), read_bank(unfinished(path)).info.block_count
    raise InputError(
        f"{path}: unfinished bank, lacks {lacking} of {total} blocks; the command that began it "
        "resumes it"
    )


def unfinished(path: Path) -> Path:
    """Where the file of an unfinished bank stands."""
    return path.with_name(f"{PARTIAL}{path.name}")


@contextmanager
def only_writer(path: Path, processes: DistributedContext) -> Iterator[None]:
    """Keep other jobs from writing the same bank; the lock goes with the process that holds it.

    Raises:
        InputError: another job is writing it, or the folder cannot be written or has no locks.
    """
    place = path.with_name(f"{PARTIAL}{path.name}.lock")
    busy = f"{path}: is being written by another job; wait for it, or use another --out"
    remedy = "use an --out on a file system with locks"
    held = []

    def take() -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.append(exclusive_lock(place, str(path), busy=busy, remedy=remedy))
        except OSError as error:
            raise InputError(
                f"{path}: cannot be written ({error.strerror}); choose another --out"
            ) from None

    processes.run_on_rank0(take)
    try:
        yield
    finally:
        for file in held:
            with suppress(OSError):
                os.unlink(place)
            file.close()


def _begin(
    path: Path, info: BankInfo, count: int, *, overwrite: bool
) -> tuple[str, tuple[Shard, ...]]:
    """Resume an unfinished bank of this description, or begin a new one: its token and shards."""
    place, expected = unfinished(path), info.facts()
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it with --out")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; choose another --out or give --overwrite")
    if place.exists():
        bank = read_bank(place)
        found = bank.info.facts()
        differing = [name for name, value in expected.items() if found[name] != value]
        if not differing:
            _check_room(path, info, _lacking(path))
            return bank.token, bank.shards
        if not overwrite:
            name = differing[0]
            raise InputError(
                f"{path}: an unfinished bank with another {name} ({found[name]}, now "
                f"{expected[name]}) is here; give the same options to resume it, or {REMEDY}"
            )
        _remove(path, bank)
        place.unlink()
    token = secrets.token_hex(4)
    bank = Bank(info, token, cut_into_shards(path, info, count, token))
    _check_room(path, info, info.block_count)
    try:
        with new_file(place, bank, bank.shards[0] if len(bank.shards) == 1 else None):
            pass
    except OSError as error:
        raise _input_error(error, path, bank) from None
    return bank.token, bank.shards


def _write_shards(
    path: Path,
    bank: Bank,
    make_block: MakeBlock,
    processes: DistributedContext,
    report: Report | None,
) -> None:
    own = bank.shards[processes.rank :: processes.world_size]
    done, total = 0, sum(len(shard.blocks) for shard in own)
    try:
        for shard in own:
            file = bank.file(unfinished(path), shard)
            for _ in write_shard(file, bank, shard, make_block):
                done += 1
                if report is not None:
                    report(done, total)
    except OSError as error:
        raise _input_error(error, path, bank) from None


def _finish(path: Path, bank: Bank) -> None:
    """Give the bank its name; then remove the shards of the one it replaces."""
    old = None
    with suppress(InputError):  # whatever stands there, its other files are not known to be ours
        old = read_bank(path)
    try:
        rename(unfinished(path), path)
    except OSError as error:
        raise _input_error(error, path, bank) from None
    if old is not None:
        _remove(path, old)


def _remove(path: Path, bank: Bank) -> None:
    """Remove the shards beside a bank's own file, and what their writing left."""
    for shard in bank.shards:
        if shard.name:
            file = path.with_name(shard.name)
            file.unlink(missing_ok=True)
            unfinished(file).unlink(missing_ok=True)


def _lacking(path: Path) -> int:
    """Blocks that an unfinished bank lacks, by its files' own account."""
    place = unfinished(path)
    bank = read_bank(place)
    there = sum(finished_blocks(bank.file(place, shard)) for shard in bank.shards)
    return bank.info.block_count - there


def _check_room(path: Path, info: BankInfo, blocks: int) -> None:
    """Compare the disk's free bytes with those that are still to be written.

    With compression the need is not known before; a full disk is then met while writing.
    """
    needed = min(info.rows, blocks * info.block_rows) * info.row_bytes
    free = shutil.disk_usage(path.parent).free
    if needed > free and info.compression == "none":
        raise InputError(
            f"{path}: needs {needed} bytes, {free} are free on its disk; make room, choose "
            "another --out, fewer rows, --dtype float16 or --compression"
        )


def _input_error(error: OSError, path: Path, bank: Bank) -> InputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free
        blocks = _lacking(path) if unfinished(path).exists() else bank.info.block_count
        needed = blocks * bank.info.block_rows * bank.info.row_bytes
        return InputError(
            f"{path}: disk full, up to {needed} bytes are still to be written, {free} are free; "
            "make room, and the same command resumes"
        )
    reason = os.strerror(error.errno) if error.errno else str(error.args[-1])
    return InputError(f"{path}: cannot be written ({reason}); the same command resumes")
