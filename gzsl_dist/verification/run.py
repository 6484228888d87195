"""All checks one after another, and their table."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace

from rich.console import Console
from rich.table import Table

from gzsl_dist.config import Config
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.planning.shapes import sized_for_data
from gzsl_dist.verification import exactness, machine, memory, resume
from gzsl_dist.verification.check import Check, Checks, Session, failures_as_check

SHARED = "run directory"

CHECKS: dict[str, Checks] = {
    "devices": machine.devices,
    "clocks": machine.clocks,
    SHARED: machine.shared_files,
    "data": machine.data,
    "checkpoints": machine.saved,
    "disk": machine.disk,
    "communication": machine.communication,
    "negatives": exactness.negatives,
    "gradients": exactness.gradients,
    "save and resume": resume.same_processes,
    "kill -9 and resume": resume.killed,
    "memory": memory.memory,
}
ON_SHARED_FILES = ("disk", "save and resume", "kill -9 and resume")

ALONE = (
    "one process was compared with itself: torchrun --standalone --nproc_per_node=2 -m "
    "gzsl_dist.verify, with the same options, compares two"
)


def verify(config: Config, processes: DistributedContext, *, as_json: bool) -> None:
    """Run all checks and print what they find, once for the job; every process must call.

    Raises:
        InputError: a check failed, after all were tried and their table or JSON printed; or the
            method trains no networks.
    """
    if config.method in BASELINES:
        raise InputError(
            f"method {config.method}: trains no networks, there is nothing to verify; name another"
        )
    began = time.monotonic()
    if config.size is not None:
        with suppress(InputError):  # the check of the data says so
            given = config
            config = processes.run_on_all_ranks(lambda: sized_for_data(given))
    existed = config.run_dir.exists()
    session = Session(config, processes, config.run_dir / ".verify")
    try:
        found = list(_all(session, show=processes.is_main_process and not as_json))
    finally:
        shutil.rmtree(session.scratch, ignore_errors=True)
        if not existed:
            with suppress(OSError):  # another process removed it, or somebody writes there
                config.run_dir.rmdir()
    failed = [check.name for check in found if not check.holds]
    seconds = time.monotonic() - began
    if processes.is_main_process and as_json:
        checks = [asdict(check) for check in found]
        whole = {"holds": not failed, "world_size": processes.world_size, "seconds": seconds}
        print(json.dumps(whole | {"checks": checks}, indent=1))
    elif processes.is_main_process:
        _print_table(found)
        verdict = "not all checks hold" if failed else "all checks hold"
        print(f"{verdict}, {processes.world_size} process(es), {seconds:.0f} s", flush=True)
        if processes.world_size == 1:
            print(ALONE, flush=True)
    if failed:
        raise InputError(
            f"{len(failed)} of {len(found)} checks failed ({', '.join(failed)}); the table says "
            "what to do"
        )


def _all(session: Session, *, show: bool) -> Iterator[Check]:
    shared = True
    for name, checks in CHECKS.items():
        if name in ON_SHARED_FILES and not shared:
            yield Check(name, False, "not tried: processes have no run directory in common")
            continue
        if show:
            print(f"checking: {name}", flush=True)
        for check in failures_as_check(name, checks, session):
            shared = shared and (check.holds or name != SHARED)
            yield replace(check, remedy="") if check.holds else check


def _print_table(found: list[Check]) -> None:
    table = Table("check", "", "found, and what to do")
    for check in found:
        remedy = f"\n-> {check.remedy}" if check.remedy else ""
        table.add_row(check.name, "ok" if check.holds else "FAILED", check.found + remedy)
    width = None if os.isatty(1) else 120
    Console(width=width, highlight=False, markup=False).print(table)
