"""What a sweep's runs achieved, by combination of settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gzsl_dist.errors import InputError
from gzsl_dist.files import read_json_object
from gzsl_dist.results.groups import SEARCH_FIGURES, Group, Run, result_facts, result_figures
from gzsl_dist.run.selection import Selection
from gzsl_dist.sweeps.plan import Task, read_sweep


def collect(tasks: Sequence[Task]) -> list[Group[Run]]:
    """Figures of every combination, in the order of the sweep file; of a search, best first.

    Raises:
        InputError: a result cannot be read, or two runs of a data set saw different data.
    """
    fingerprints: dict[str, tuple[str, Path]] = {}
    found: dict[tuple[str, str, str], Group[Run]] = {}
    for task in tasks:
        new = Group[Run](task.data, task.method, task.point, (), 0, task.searches)
        group, runs = found.get(task.group, new), []
        if task.outcome.exists():
            run, fingerprint = _read(task)
            first, other = fingerprints.setdefault(task.data, (fingerprint, task.outcome))
            if first != fingerprint:
                raise InputError(
                    f"{task.outcome}: of another data set (fingerprint {fingerprint[:12]}) than "
                    f"{other} ({first[:12]}); means over both say nothing: delete one of the runs"
                )
            runs = [run]
        found[task.group] = replace(group, runs=(*group.runs, *runs), planned=group.planned + 1)
    groups = list(found.values())
    return ranked(groups, tasks[0].config.evaluation.criterion) if tasks[0].searches else groups


def _read(task: Task) -> tuple[Run, str]:
    """A task's run, and the fingerprint of its data set."""
    values = read_json_object(task.outcome, "delete it and run the sweep again")
    try:
        if task.searches:
            figures = _search_figures(Selection(**values))
            return Run(task.seed, figures, {"run": task.name}), str(values["fingerprint"])
        from gzsl_dist.evaluation.representation import read_representation  # loads torch

        figures = result_figures(values, read_representation(task.directory))
        facts = result_facts(task.name, values)
        return Run(task.seed, figures, facts), facts["fingerprint"]
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{task.outcome}: not a result; delete it and run the sweep again"
        ) from None


def _search_figures(selection: Selection) -> dict[str, float]:
    validation = selection.validation or {}
    chosen = {"steps": float(selection.steps), "factor": selection.calibration_factor}
    return chosen | {name: float(validation[name]) for name in SEARCH_FIGURES[:6]}


def ranked(groups: Sequence[Group[Run]], criterion: str) -> list[Group[Run]]:
    """By data set and method in their order, then by a figure's mean, the best of them marked.

    Args:
        groups: of a search.
        criterion: ``H`` on validation classes, or ``raw_H`` where the runs do not calibrate.
    """
    order = list(dict.fromkeys((group.data, group.method) for group in groups))

    def rank(group: Group[Run]) -> tuple[int, float]:
        estimate = group.estimate(criterion)
        return order.index((group.data, group.method)), -estimate.mean if estimate else 1.0

    found: list[Group[Run]] = []
    for group in sorted(groups, key=rank):
        leads = not found or (found[-1].data, found[-1].method) != (group.data, group.method)
        found.append(replace(group, best=leads and bool(group.runs)))
    return found


def chosen_points(groups: Sequence[Group[Run]]) -> list[str]:
    """The best trial of each method of a search, as ``points`` of a sweep file; else nothing."""
    lines = []
    for group in groups:
        if group.best:
            settings = ", ".join(f"{name}: {value}" for name, value in group.settings)
            lines.append(f"  {group.method}: [{{{settings}}}]  # {group.data}")
    return ["points:", *lines] if lines else []


def finished_tasks(sweep: Path) -> tuple[dict[Path, str], int]:
    """Directories of a sweep's runs that are done, with their methods' names, and how many are not.

    Raises:
        InputError: the file is no sweep, is a search, or none of its runs is done.
    """
    tasks = read_sweep(sweep)
    if tasks[0].searches:
        raise InputError(
            f"sweep file {sweep}: its runs stop before test rows, there is nothing to report; "
            f"python -m gzsl_dist.sweep collect {sweep} ranks them"
        )
    done = {task.directory: task.method for task in tasks if task.outcome.exists()}
    if not done:
        raise not_begun(sweep)
    return done, len(tasks) - len(done)


def not_begun(sweep: Path) -> InputError:
    """The error where no task of a sweep is done."""
    return InputError(
        f"sweep file {sweep}: no task is done; python -m gzsl_dist.sweep run {sweep} runs them"
    )
