"""What a report tells beside the figures: files of a run written once, when it is measured."""

from __future__ import annotations

from pathlib import Path

from gzsl_dist.config import Config
from gzsl_dist.data.problem import Problem
from gzsl_dist.evaluation.confusion import write_confusion
from gzsl_dist.evaluation.representation import write_representation
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.models.networks import Networks


def write_details(
    directory: Path,
    networks: Networks | None,
    problem: Problem,
    config: Config,
    scored: ScoredProblem,
    factor: float,
) -> None:
    """Write ``confusion.json`` and, of networks, ``representation.json`` into the run directory.

    The networks have whole weights, and are None for a baseline; the problem's test rows may be
    read; they were scored before, and `factor` is that of calibrated stacking.

    Raises:
        InputError: a file cannot be written.
    """
    write_confusion(directory, scored.unseen, problem.names, factor)
    if networks is not None:
        write_representation(directory, networks, problem, config)
