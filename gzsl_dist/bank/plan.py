"""An unfinished bank: its plan stands beside in ``.writing-<name>.json`` until all is written."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gzsl_dist.bank.layout import BankInfo, Shard, cut_into_shards
from gzsl_dist.bank.shard_file import finished_blocks, journal_of
from gzsl_dist.data.hdf5 import is_plain_name
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_write, exclusive_lock, read_json_object

REMEDY = "--overwrite discards it and begins anew"


@dataclass(frozen=True)
class Plan:
    """Which shards an unfinished bank has.

    Attributes:
        token: what all its shards carry, in their names too.
        shards: its files.
        resumed: whether an earlier start made it.
    """

    token: str
    shards: tuple[Shard, ...]
    resumed: bool


def open_plan(path: Path, info: BankInfo, shard_count: int, *, overwrite: bool) -> Plan:
    """Go on with an unfinished bank of this description, or plan a new one.

    Raises:
        InputError: the bank exists, its name is a folder's, an unfinished one is of another
            description, or the disk has too little room.
    """
    place = plan_path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it with --out")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; choose another --out or give --overwrite")
    if place.exists():
        plan, facts = read_plan(path)
        differing = [name for name, value in info.facts().items() if facts.get(name) != value]
        if not differing:
            _check_room(path, info, plan)
            return plan
        if not overwrite:
            name = differing[0]
            raise InputError(
                f"{path}: an unfinished bank with another {name} ({facts.get(name, 'none')}, now "
                f"{info.facts()[name]}) is here; give the same options to go on with it, or "
                f"{REMEDY}"
            )
        discard(path, plan)
    token = secrets.token_hex(4)
    plan = Plan(token, tuple(cut_into_shards(path, info, shard_count, token)), resumed=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_room(path, info, plan)
    shards = [[shard.name, shard.blocks.start, shard.blocks.stop] for shard in plan.shards]
    contents = {"token": token, "shards": shards, "facts": info.facts()}
    atomic_write(place, json.dumps(contents, indent=1))
    return plan


def plan_path(path: Path) -> Path:
    """Where the plan of an unfinished bank stands."""
    return path.with_name(f".writing-{path.name}.json")


def read_plan(path: Path) -> tuple[Plan, dict[str, str]]:
    """The plan of an unfinished bank and its description.

    Raises:
        InputError: damaged.
    """
    place = plan_path(path)
    values = read_json_object(place, f"delete it; {REMEDY}")
    try:
        shards = tuple(
            Shard(str(name), range(int(first), int(stop)))
            for name, first, stop in values["shards"]
            if is_plain_name(str(name))
        )
        return Plan(str(values["token"]), shards, resumed=True), dict(values["facts"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{place}: damaged; delete it and begin anew") from None


def refuse_unfinished(path: Path) -> None:
    """Say what is missing where only an unfinished bank is.

    Raises:
        InputError: it is unfinished.
    """
    if path.exists() or not plan_path(path).exists():
        return
    plan, _ = read_plan(path)
    missing = []
    for shard in plan.shards:
        done = finished_blocks(path.with_name(shard.name))
        if done is None:
            missing.append(f"shard {shard.name}")
        elif not path.with_name(shard.name).exists():
            missing.append(f"shard {shard.name}, of which there is a journal")
        elif done < len(shard.blocks):
            missing.append(f"{len(shard.blocks) - done} of {len(shard.blocks)} blocks of "
                           f"{shard.name}")  # fmt: skip
    raise InputError(
        f"{path}: unfinished bank, lacks {', '.join(missing) or 'its master file'}; the command "
        "that began it goes on"
    )


def discard(path: Path, plan: Plan) -> None:
    """Remove an unfinished bank."""
    for shard in plan.shards:
        remove_shard(path.with_name(shard.name))
    plan_path(path).unlink()


def remove_shard(file: Path) -> None:
    """Remove a shard and what its writing left."""
    for remains in (file, journal_of(file), file.with_name(f".writing-{file.name}")):
        with suppress(FileNotFoundError):
            remains.unlink()


@contextmanager
def only_writer(path: Path, processes: Processes) -> Iterator[None]:
    """Keep other jobs from writing the same bank; the lock goes with the process that holds it.

    Raises:
        InputError: another job is writing it, or the folder cannot be written or has no locks.
    """
    held: list[IO[str]] = []
    place = path.with_name(f".writing-{path.name}.lock")

    def take() -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = exclusive_lock(
                place,
                str(path),
                busy=f"{path}: is being written by another job; wait for it, or use another --out",
                remedy="use an --out on a file system with locks",
            )
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from None
        held.append(file)

    processes.once(take)
    try:
        yield
    finally:
        for file in held:
            with suppress(OSError):
                os.unlink(place)
            file.close()


def _check_room(path: Path, info: BankInfo, plan: Plan) -> None:
    """Compare the disk's free bytes with those that are still to be written.

    With compression the need is not known before; a full disk is then met while writing.
    """
    if info.compression != "none":
        return
    there = sum(
        (finished_blocks(path.with_name(shard.name)) or 0) * info.block_rows
        for shard in plan.shards
    )
    needed = max(0, info.rows - there) * info.row_bytes
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise InputError(
            f"{path}: needs {needed} bytes, {free} are free on its disk; make room, choose "
            "another --out, fewer rows, --dtype float16 or --compression"
        )
