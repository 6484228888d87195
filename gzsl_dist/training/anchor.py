"""The generator's anchor in a run: how wide and how strongly penalized it is, and its fit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from gzsl_dist.config import Config, ModelSettings
from gzsl_dist.data.features import BLOCK_ROWS
from gzsl_dist.data.problem import Problem, Rows
from gzsl_dist.distributed.log import log_rank0
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.metrics import ScoredRows, seen_unseen_curve
from gzsl_dist.files import atomic_write, read_json_object
from gzsl_dist.models.anchor import PENALTIES, WIDTHS, Regression, best_left_out, regressions
from gzsl_dist.models.networks import Networks

MOST_PRODUCTS = 1 << 34
"""Multiplications for each candidate at most; of more rows, so many are taken evenly."""


def fit_anchor(
    networks: Networks, problem: Problem, settings: ModelSettings, processes: DistributedContext
) -> dict[str, float]:
    """Fit the generator's anchor, if it has one, to a problem's training classes; all must call.

    A width or penalty that is not given is the one that predicts left-out classes best. The first
    process fits, so that one rounding decides, and memory is taken once.

    Returns:
        Width and penalty as `choose_anchor` does; none where `model.anchor` is none.
    """
    anchor = networks.generator.anchor
    if anchor is None:
        return {}
    means = class_means(problem.train, problem.seen_count, processes)

    def fit() -> dict[str, float]:
        semantics = problem.semantics[: problem.seen_count]
        best = best_left_out(_candidates(settings, semantics, means))
        anchor.take(best)
        return _settings(best)

    chosen: dict[str, float] = processes.run_on_rank0(fit)
    for value in anchor.buffers():
        processes.broadcast_from_rank0(value)
    return chosen


def choose_anchor(
    problems: Iterable[Problem], settings: ModelSettings, processes: DistributedContext
) -> dict[str, float]:
    """Width and penalty with which cosine to m alone has the best mean AUSUC; all must call.

    Args:
        problems: whose unseen classes are validation classes, a problem a fold.
        settings: the anchor's form; its width and penalty where they are given.
        processes: the job; its first process decides.

    Returns:
        Settings of `gzsl_dist.config.ModelSettings` by name; none where `model.anchor` is none.
    """
    if settings.anchor == "none":
        return {}
    by_fold = []
    for problem in problems:
        means = class_means(problem.train, problem.seen_count, processes)
        by_fold.append(processes.run_on_rank0(partial(_areas, problem, settings, means)))
    areas: list[tuple[float, dict[str, float]]] = [
        (sum(area for area, _ in candidates), candidates[0][1])
        for candidates in zip(*by_fold, strict=True)
    ]
    return max(areas, key=lambda pair: pair[0])[1]


def _areas(
    problem: Problem, settings: ModelSettings, means: Tensor
) -> list[tuple[float, dict[str, float]]]:
    """AUSUC of cosine to m, and the settings, of each candidate."""
    width = len(problem.classes) * problem.feature_dim
    rows = [_some(rows, MOST_PRODUCTS // width) for rows in (problem.seen, problem.unseen)]
    areas = []
    for one in _candidates(settings, problem.semantics[: problem.seen_count], means):
        directions = normalize(one(problem.semantics), dim=1).float().T
        scored = [
            ScoredRows.from_scores(
                (features @ directions).numpy(), labels.numpy(), problem.seen_count
            )
            for features, labels in rows
        ]
        areas.append((seen_unseen_curve(*scored).area, _settings(one)))
    return areas


def chosen_anchor(
    problems: Iterable[Problem],
    settings: ModelSettings,
    processes: DistributedContext,
    path: Path | None,
) -> dict[str, float]:
    """`choose_anchor`, or what it chose before and wrote to `path`."""
    if settings.anchor == "none":
        return {}
    if path is not None and processes.run_on_rank0(path.exists):
        found: dict[str, float] = processes.run_on_rank0(lambda: read_choice(path))
        return found
    chosen = choose_anchor(problems, settings, processes)
    if path is not None:
        processes.run_on_rank0(lambda: atomic_write(path, json.dumps(chosen, indent=2)))
    values = ", ".join(f"{name} {value:g}" for name, value in chosen.items())
    log_rank0(processes, f"selection: {settings.anchor} anchor with {values}")
    return chosen


def read_choice(path: Path) -> dict[str, float]:
    """What `chosen_anchor` wrote.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    remedy = "delete the folder selection to choose anew"
    values = read_json_object(path, remedy)
    names = {"anchor_width", "anchor_penalty"}
    right = "anchor_penalty" in values and values.keys() <= names
    if not right or not all(isinstance(value, float | int) for value in values.values()):
        raise InputError(f"{path}: damaged, holds no width and penalty; {remedy}")
    return values


def with_anchor(config: Config, settings: dict[str, float] | None) -> Config:
    """The configuration with what `choose_anchor` chose."""
    chosen = {name: value for name, value in (settings or {}).items() if name.startswith("anchor_")}
    return config.model_copy(update={"model": config.model.model_copy(update=chosen)})


def class_means(rows: Rows, classes: int, processes: DistributedContext) -> Tensor:
    """Mean features ``(classes, d_x)`` in float64 of classes that all have rows; all must call."""
    device = processes.device
    sums = torch.zeros(classes, rows.features.shape[1], dtype=torch.float64, device=device)
    mine = processes.shard(len(rows))
    for first in range(mine.start, mine.stop, BLOCK_ROWS):
        part = slice(first, min(first + BLOCK_ROWS, mine.stop))
        features, labels = rows.features[part], rows.labels[part]
        sums.index_add_(0, labels.to(device), features.to(device, torch.float64))
    counts = rows.labels.bincount(minlength=classes)[:, None]
    return processes.all_reduce_sum(sums).cpu() / counts


def _candidates(settings: ModelSettings, semantics: Tensor, means: Tensor) -> Iterator[Regression]:
    widths = WIDTHS if settings.anchor_width is None else (settings.anchor_width,)
    penalties = PENALTIES if settings.anchor_penalty is None else (settings.anchor_penalty,)
    return regressions(settings.anchor, semantics, means, widths, penalties)


def _settings(one: Regression) -> dict[str, float]:
    width = {} if one.width is None else {"anchor_width": one.width}
    return width | {"anchor_penalty": one.penalty}


def _some(rows: Rows, most: int) -> tuple[Tensor, Tensor]:
    """At most so many rows, evenly, of length 1, and their labels."""
    step = max(1, -(-len(rows) // max(most, 1)))
    chosen = torch.arange(0, len(rows), step)
    return normalize(rows.features[chosen].float(), dim=1), rows.labels[chosen]
