"""Names of run directories: two starts share one exactly when they ask for the same run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from gzsl_dist.config.tree import is_free_to_differ

LONGEST = 120


def run_name(stem: str, settings: Mapping[str, str]) -> str:
    """A folder's name from a configuration's name and the settings given beside it, by dotted name.

    Settings that do not change what a run computes are left out, so that another strategy or
    another number of processes resumes the same run.
    """
    told = {name: value for name, value in settings.items() if not is_free_to_differ(name)}
    parts, exact = [stem], True
    for name in sorted(told, key=lambda name: (name != "method", name == "train.seed", name)):
        value = told[name]
        if name == "data.path":
            part, exact = Path(value).stem, False
        elif name == "method":
            part = value
        elif name == "train.seed":
            part = f"seed{value}"
        else:
            part = f"{name}={value}"
        clean = re.sub(r"[^\w.=+-]+", "_", part)
        exact &= clean == part
        parts.append(clean)
    whole = "-".join(parts)
    if exact and len(whole) <= LONGEST:
        return whole
    digest = hashlib.sha256(repr(sorted(told.items())).encode()).hexdigest()[:8]
    return f"{whole[: LONGEST - 9]}-{digest}"
