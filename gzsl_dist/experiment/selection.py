"""Model selection: trainings without some of the seen classes choose how the last one is done."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gzsl_dist.baselines.run import choose_penalties
from gzsl_dist.config import Config
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.problem import selection_problem
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.distributed.strategies import Strategy
from gzsl_dist.evaluation.score import fit_classifier, score_problem
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.evaluation.selection import fixed, needs_validation, select, validations_of_folds
from gzsl_dist.models.networks import Networks
from gzsl_dist.monitoring.progress import say
from gzsl_dist.run.files import RunFiles, TrainingFiles
from gzsl_dist.run.metrics import read_metrics
from gzsl_dist.run.selection import Selection
from gzsl_dist.training.anchor import chosen_anchor, with_anchor
from gzsl_dist.training.loop import fit
from gzsl_dist.training.resume import check_start, earlier_checkpoints
from gzsl_dist.training.stop_signal import StopSignal


def choose(
    dataset: Dataset,
    config: Config,
    processes: Processes,
    strategy: Strategy,
    directory: Path,
    stop: StopSignal,
) -> Selection:
    """Training length, calibration factor and the anchor's settings, by validation classes.

    The training without them lives in ``selection/`` inside the run directory, in the same form as
    a run; each of several folds in ``selection/fold-1`` and so on.
    """
    files = RunFiles(directory)
    path = files.selection
    if config.method in BASELINES:
        return processes.once(lambda: choose_penalties(dataset, config, path))
    if not needs_validation(config.evaluation):
        return fixed(config.train.steps, config.evaluation, dataset.fingerprint)
    if processes.once(path.exists):
        return processes.once(lambda: Selection.read(path, dataset.fingerprint))
    if config.evaluation.final:  # the training after this one must be able to start
        checkpoint.prepare(files.checkpoints, processes)
        processes.once(lambda: check_start(directory, dataset, config))
    folds = config.evaluation.folds
    problems = (selection_problem(dataset, config, fold) for fold in range(folds))
    anchor = chosen_anchor(problems, config, processes, files.anchor)
    trainings = files.folds(folds)
    notes = [
        _train_fold(dataset, with_anchor(config, anchor), processes, strategy, stop, fold, each)
        for fold, each in enumerate(trainings)
    ]

    def select_and_write() -> Selection:
        if folds == 1:
            validations = read_metrics(trainings[0].metrics)
        else:
            scored = [_scored(each) for each in trainings]
            validations = validations_of_folds(scored, config.evaluation)
        chosen = select(
            validations,
            config.evaluation,
            config.train.steps,
            " and ".join(notes),
            dataset.fingerprint,
        )
        chosen = dataclasses.replace(chosen, settings=anchor or None)
        chosen.write(path)
        return chosen

    selection = processes.once(select_and_write)
    say(
        processes,
        f"selection: {selection.steps} steps, calibration factor "
        f"{selection.calibration_factor:.3f}, validation H {(selection.validation or {})['H']:.3f}",
    )
    return selection


def _train_fold(
    dataset: Dataset,
    config: Config,
    processes: Processes,
    strategy: Strategy,
    stop: StopSignal,
    fold: int,
    files: TrainingFiles,
) -> str:
    """Train without a fold's validation classes, measuring them on the way; says which they are."""
    folds = config.evaluation.folds
    title = "selection" if folds == 1 else f"selection {fold + 1}/{folds}"
    problem = selection_problem(dataset, config, fold)
    say(processes, f"{title}: {problem.note}")

    def validate(step: int, networks: Networks) -> ScoredProblem:
        classifier = fit_classifier(networks, problem, config, processes)
        scored = score_problem(networks, classifier, problem, config, processes)
        if folds > 1:
            processes.once(lambda: scored.save(files.scored(step)))
        return scored

    fit(
        problem,
        config,
        processes,
        strategy,
        files.directory,
        title=title,
        steps=config.train.steps,
        fingerprint=dataset.fingerprint,
        stop=stop,
        validate=validate,
        # only steps that all folds were measured at count, so several folds all start anew
        start=processes.once(lambda: earlier_checkpoints(config.train.resume, selection=True))
        if folds == 1
        else None,
        split=f"{fold + 1} of {folds}, seed {config.train.seed}, "
        f"{config.evaluation.held_out:g} held out",
    )
    return problem.note


def _scored(files: TrainingFiles) -> dict[int, ScoredProblem]:
    """A fold's validations by step."""
    return {step: ScoredProblem.load(file) for step, file in files.all_scored().items()}
