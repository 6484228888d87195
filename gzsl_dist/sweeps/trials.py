"""What a search has found, as files and as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from gzsl_dist.config import Config
from gzsl_dist.config.files import to_yaml
from gzsl_dist.files import atomic_write
from gzsl_dist.sweeps.space import configured

Studies = Mapping[str, Study]
OF_CLASSIFIER = {"evaluation.temperature": "cosine", "evaluation.weight_decay": "softmax"}
"""What does nothing with another `evaluation.classifier`."""
STATES = {TrialState.COMPLETE: "done", TrialState.RUNNING: "running"}


def best_trial(study: Study) -> FrozenTrial | None:
    """The finished trial with the highest H, the first of equals; None: there is none yet."""
    done = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return max(done, key=lambda trial: (value_of(trial), -trial.number), default=None)


def value_of(trial: FrozenTrial) -> float:
    """H on validation classes, or -1 of a trial without."""
    return -1.0 if trial.value is None else trial.value


def told(settings: Mapping[str, Any]) -> list[str]:
    """Settings for people, without those of a classifier that is not the trial's."""
    classifier = settings.get("evaluation.classifier")
    return [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in settings.items()
        if classifier is None or OF_CLASSIFIER.get(name, classifier) == classifier
    ]


def write_trials(folder: Path, bases: Mapping[str, Config], studies: Studies) -> None:
    """Write ``trials.csv`` and ``best.yaml``; of several methods, ``best-METHOD.yaml`` too."""
    best = {name: trial for name, study in studies.items() if (trial := best_trial(study))}
    for method in sorted(best, key=lambda name: value_of(best[name])):
        # the best of all is the last to be written as best.yaml
        for ending in ("", f"-{method}") if len(studies) > 1 else ("",):
            trial, base = best[method], bases[method]
            final = {"run.dir": f"{folder.parent}-best{ending}", "evaluation.final": True}
            text = "".join(f"#   {line}\n" for line in told(trial.params))
            atomic_write(
                folder / f"best{ending}.yaml",
                f"# gzsl search: trial {trial.number} of {method}, validation H "
                f"{100 * value_of(trial):.1f}. Changed:\n{text}"
                + to_yaml(configured(base, trial.params | final)),
            )
    rows = list(_rows(studies))
    names = sorted({name for _, trial, _, _ in rows for name in trial.params})
    text_of = io.StringIO()
    table = csv.writer(text_of, lineterminator="\n")
    table.writerow(["method", "trial", "state", "validation_H", *names, "reason"])
    for method, trial, state, reason in rows:
        value = trial.value if state == "done" else ""
        given = [trial.params.get(name, "") for name in names]
        table.writerow([method, trial.number, state, value, *given, reason])
    atomic_write(folder / "trials.csv", text_of.getvalue())


def print_trials(folder: Path, studies: Studies) -> None:
    """Print all trials, the best first, and how to train with its settings."""
    table = Table()
    for column in ("method", "trial", "validation H", "settings"):
        table.add_column(column, overflow="fold")
    rows = sorted(_rows(studies), key=lambda row: -value_of(row[1]))
    for method, trial, state, reason in rows:
        shown = f"{100 * value_of(trial):.1f}" if state == "done" else state
        settings = reason or ", ".join(told(trial.params)) or "as given"
        table.add_row(method, str(trial.number), shown, settings)
    Console().print(table, highlight=False)
    states = [state for _, _, state, _ in rows]
    counts = [(states.count(state), state) for state in ("done", "running", "failed")]
    counted = ", ".join(f"{count} {state}" for count, state in counts if count)
    best = folder / "best.yaml"
    where = f"{folder.parent}-best"
    what = (
        f"gzsl train --config {best} (in {where}; another seed: --train.seed 1 --run.dir {where}-1)"
        if best.exists()
        else "none gave a result"
    )
    print(f"{len(rows)} trials: {counted}; {what}", flush=True)


def _rows(studies: Studies) -> Iterator[tuple[str, FrozenTrial, str, str]]:
    """Method, trial, state and reason of failure."""
    for method, study in studies.items():
        for trial in study.get_trials(deepcopy=False):
            reason = study.user_attrs.get(f"reason {trial.number}", "")
            yield method, trial, STATES.get(trial.state, "failed"), reason
