"""metrics.jsonl: a line of figures for each logged step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gzsl_dist.errors import InputError


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics.jsonl; a last line cut off by a crash is left out.

    Raises:
        InputError: a line before the last is not one that a run wrote.
    """
    if not path.exists():
        return []
    metrics = []
    lines = path.read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
            metrics.append({"step": int(values["step"]), **values})
        except (ValueError, TypeError, KeyError):
            raise InputError(
                f"{path}: line {number} is not a logged step; delete that line, or the run"
            ) from None
    return metrics
