"""Several classifiers on the networks of one training, measured on its validation classes.

    python benchmarks/classifiers.py RUN... --try classifier=cosine --try classifier=cosine,space=xh

Each RUN has trained for selection (its ``selection/checkpoints``); the newest checkpoint is taken,
and no test row is read. Settings are those of ``evaluation.``; prints a line a run and classifier.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from gzsl_dist.config import EvaluationSettings
from gzsl_dist.config.files import read_run_config
from gzsl_dist.data.load import load_dataset
from gzsl_dist.data.problem import selection_problem
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.processes import start_processes
from gzsl_dist.evaluation.metrics import measure, seen_unseen_curve
from gzsl_dist.evaluation.score import fit_classifier, score_problem
from gzsl_dist.training.loop import networks_for
from gzsl_dist.training.resume import made_for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument(
        "--try", dest="trials", action="append", default=[], metavar="NAME=VALUE,..."
    )
    options = parser.parse_args()
    print("| run | classifier | H | T1 | AUSUC | H without a factor | S less U there | factor |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with start_processes() as processes:
        for run in options.runs:
            config = read_run_config(run)
            dataset = load_dataset(config.data.path, config.data.in_memory)
            problem = selection_problem(dataset, config, 0)
            networks = networks_for(problem, config)
            newest = checkpoint.checkpoints(run / "selection" / "checkpoints")[-1]
            made = made_for(problem, config, dataset.fingerprint)
            saved = checkpoint.load(newest, made, optimizers=False)
            checkpoint.restore(newest, saved, networks, averaged=True)
            for trial in ["", *options.trials]:
                changes = dict(part.split("=", 1) for part in trial.split(",") if part)
                settings = EvaluationSettings.model_validate(
                    config.evaluation.model_dump() | changes
                )
                changed = config.model_copy(update={"evaluation": settings})
                classifier = fit_classifier(networks, problem, changed, processes)
                scored = score_problem(networks, classifier, problem, changed, processes)
                curve = seen_unseen_curve(scored.seen, scored.unseen)
                factor = curve.best_factor()
                best = measure(scored.seen, scored.unseen, factor)
                raw = measure(scored.seen, scored.unseen)
                figures = [best.H, best.T1, curve.area, raw.H, raw.S - raw.U]
                cells = [
                    run.name[:40],
                    trial or "as trained",
                    *(f"{100 * one:.1f}" for one in figures),
                ]
                assert math.isfinite(factor)
                print("|", " | ".join([*cells, f"{factor:.3f}"]), "|", flush=True)


if __name__ == "__main__":
    main()
