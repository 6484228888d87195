"""What a check found, and how all of them are printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar, cast

import torch.distributed as dist

from gzsl_dist.distributed.processes import Processes
from gzsl_dist.errors import InputError, OtherProcessError

T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: what is checked.
        passed: whether it holds.
        found: figures, or the reason why it does not hold.
        remedy: what to do where it does not hold.
    """

    name: str
    passed: bool
    found: str
    remedy: str = ""


def gather_objects(processes: Processes, value: T) -> list[T]:
    """A picklable value of every process, by rank; all must call."""
    if processes.world_size == 1:
        return [value]
    values = cast(list[T], [None] * processes.world_size)
    dist.all_gather_object(values, value)
    return values


def attempt(
    name: str, action: Callable[[], list[Check]], processes: Processes, remedy: str
) -> list[Check]:
    """The checks that an action returns, or one that failed; all processes must call.

    Args:
        name: of the check where the action fails.
        action: raises `InputError` on every process, or on none.
        processes: the job.
        remedy: what to do where it fails.
    """
    checks: list[Check] = []
    reason = None
    try:
        checks = action()
    except OtherProcessError:
        pass  # the process that failed knows more
    except InputError as error:
        reason = str(error)
    reasons = [one for one in gather_objects(processes, reason) if one is not None]
    return [Check(name, False, reasons[0], remedy)] if reasons else checks


def as_table(checks: Sequence[Check]) -> str:
    """A line a check, and a line of what to do below each that failed."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        mark = "ok  " if check.passed else "FAIL"
        lines.append(f"{mark}  {check.name:{width}}  {check.found}")
        if not check.passed and check.remedy:
            lines.append(f"      {'':{width}}  -> {check.remedy}")
    failed = sum(not check.passed for check in checks)
    lines.append(f"{len(checks) - failed} of {len(checks)} checks hold")
    return "\n".join(lines)


def as_json(checks: Sequence[Check], world_size: int, strategy: str) -> str:
    """The same as one JSON object."""
    content = {
        "passed": all(check.passed for check in checks),
        "world_size": world_size,
        "strategy": strategy,
        "checks": [asdict(check) for check in checks],
    }
    return json.dumps(content, indent=2)
