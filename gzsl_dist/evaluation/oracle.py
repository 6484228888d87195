"""What test rows said before the end of training: named, counted, and never used for anything.

The literature reports the best epoch on test rows. `evaluation.oracle` records such figures beside
the result, so that they can be compared with published tables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gzsl_dist.data.guard import GuardedFeatures
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.metrics import measure, seen_unseen_curve
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.files import atomic_write
from gzsl_dist.run.files import RunFiles
from gzsl_dist.run.metrics import read_metrics

PREFIX = "oracle/"


def oracle_figures(scored: ScoredProblem) -> dict[str, float]:
    """Figures of one evaluation on test rows, keyed for the log.

    U, S and H are uncalibrated, as published ones are; ``best_factor_`` ones are at the
    calibration factor that is best for these very test rows.
    """
    factor = seen_unseen_curve(scored.seen, scored.unseen).best_factor()
    raw = measure(scored.seen, scored.unseen)
    calibrated = measure(scored.seen, scored.unseen, factor)
    figures = {
        **{name: getattr(raw, name) for name in ("U", "S", "H", "T1")},
        **{f"best_factor_{name}": getattr(calibrated, name) for name in ("U", "S", "H")},
    }
    return {PREFIX + name: value for name, value in figures.items()}


def best_on_test(metrics: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The best evaluation on test rows, from the lines of metrics.jsonl; None without any.

    Returns:
        U, S, H, T1 and ``step`` where uncalibrated H was highest, the first of equals; under
        ``best_factor`` the same for H at its best factor; ``highest_T1`` of any step.
    """
    lines = [line for line in metrics if PREFIX + "H" in line]
    if not lines:
        return None

    def best(prefix: str) -> dict[str, float]:
        line = max(lines, key=lambda line: (line[f"{prefix}H"], -line["step"]))
        found = {name: line[prefix + name] for name in ("U", "S", "H")}
        return {"step": line["step"], **found, "T1": line[PREFIX + "T1"]}

    return {
        "note": "best evaluation on test rows, as the literature reports; not the result",
        "evaluations": len(lines),
        **best(PREFIX),
        "best_factor": best(PREFIX + "best_factor_"),
        "highest_T1": max(line[PREFIX + "T1"] for line in lines),
    }


def note_early_read(directory: Path, by: str, step: int, rows: int) -> None:
    """Write down, before it happens, that test rows are read though training goes on.

    Raises:
        InputError: it cannot be written down.
    """
    lines = read_metrics(RunFiles(directory).test_reads)
    lines.append({"step": step, "by": by, "rows": rows})
    atomic_write(RunFiles(directory).test_reads, "".join(json.dumps(line) + "\n" for line in lines))


def count_reads(
    guard: GuardedFeatures, directory: Path, processes: DistributedContext
) -> dict[str, Any]:
    """How often test rows were read, summed over rows; every process must call.

    Returns:
        ``rows`` there are; ``reads_before_end`` of training, in all starts of the run, of which
        ``evaluations_before_end`` and ``read_by`` tell more; ``reads_at_end`` in this start.
    """
    lines = processes.run_on_rank0(lambda: read_metrics(RunFiles(directory).test_reads))
    counts = torch.tensor([guard.reads_before_end, guard.reads_at_end], device=processes.device)
    before, after = processes.all_reduce_sum(counts).tolist()
    return {
        "rows": guard.test_rows,
        # the guard counts what this start did, the ledger what was announced in all starts
        "reads_before_end": max(before, sum(line["rows"] for line in lines)),
        "evaluations_before_end": len(lines),
        "read_by": sorted({line["by"] for line in lines}),
        "reads_at_end": after,
    }
