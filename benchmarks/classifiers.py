"""Several classifiers on the networks of one training, measured on its validation classes.

    python benchmarks/classifiers.py RUN... --try classifier=cosine --try classifier=cosine,space=xh

Each RUN has trained for selection (its ``selection/checkpoints``); the newest checkpoint is taken,
and no test row is read. Settings are those of ``evaluation.``; prints a line a run and classifier:
means over its folds, with one factor for all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from evaluation import load_folds, processes

from gzsl_dist.config import EvaluationSettings
from gzsl_dist.evaluation.score import fit_classifier, score_problem
from gzsl_dist.evaluation.selection import PREFIX, validation_figures

FIGURES = ("H", "T1", "AUSUC", "raw_H")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument(
        "--try", dest="trials", action="append", default=[], metavar="NAME=VALUE,..."
    )
    options = parser.parse_args()
    print("| run | classifier | H | T1 | AUSUC | H without a factor | S less U there | factor |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    alone = processes()
    for run in options.runs:
        folds = list(load_folds(run, None))
        config = folds[0][2]
        for trial in ["", *options.trials]:
            changes = dict(part.split("=", 1) for part in trial.split(",") if part)
            settings = EvaluationSettings.model_validate(config.evaluation.model_dump() | changes)
            changed = config.model_copy(update={"evaluation": settings})
            scored = []
            for networks, problem, _ in folds:
                classifier = fit_classifier(networks, problem, changed, alone)
                scored.append(score_problem(networks, classifier, problem, settings, alone))
            found = validation_figures(scored, settings)
            bias = found[PREFIX + "raw_S"] - found[PREFIX + "raw_U"]
            percents = [*(found[PREFIX + name] for name in FIGURES), bias]
            cells = [
                run.name[:40],
                trial or "as trained",
                *(f"{100 * one:.1f}" for one in percents),
            ]
            factor = f"{found[PREFIX + 'calibration_factor']:.3f}"
            print("|", " | ".join([*cells, factor]), "|", flush=True)


if __name__ == "__main__":
    main()
