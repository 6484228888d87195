"""One command that repeats a run, complete without its directory."""

from __future__ import annotations

import shlex
from typing import Any

from gzsl_dist.config import Config
from gzsl_dist.config.command_line import values_to_start_from
from gzsl_dist.config.nested import flat, merge
from gzsl_dist.results.runs import FinishedRun


def repeat_command(run: FinishedRun) -> str:
    """The command line: every setting that differs from what stands without a file, and a new
    run directory beside the default one. The data file must lie where it lay.
    """  # fmt: skip
    processes = run.result.world_size
    start = ["python", "-m"]
    if processes > 1:
        start = ["torchrun", "--standalone", f"--nproc_per_node={processes}", "-m"]
    data = run.config.data.path
    base = merge(values_to_start_from(data), {"method": run.config.method, "data": {"path": data}})
    usual = flat(Config.model_validate(base).model_dump())
    words = [*start, "gzsl_dist.train", "--method", run.config.method]
    # whatever its size means is given by itself
    for name, value in (run.settings | {"size": None}).items():
        if name == "data.path" or (value != usual[name] and name not in ("method", "run.dir")):
            words += [f"--{name}", _text(value)]
    return shlex.join([*words, "--run.dir", f"runs/{run.name.replace('/', '-')}-again"])


def _text(value: Any) -> str:
    """A setting's value as the command line takes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else str(value)
