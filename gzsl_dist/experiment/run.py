"""A whole run: select on validation classes, train on all seen classes, measure once."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from gzsl_dist.baselines.run import fit_baseline, score_rows
from gzsl_dist.config import Config
from gzsl_dist.config.nested import flat
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.features import StoredFeatures
from gzsl_dist.data.guard import GuardedFeatures, guarded
from gzsl_dist.data.load import load_dataset
from gzsl_dist.data.problem import Problem, final_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.distributed.strategies import Strategy
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.details import write_details
from gzsl_dist.evaluation.oracle import (
    best_on_test,
    count_reads,
    note_early_read,
    oracle_figures,
)
from gzsl_dist.evaluation.result import result_of
from gzsl_dist.evaluation.score import fit_classifier, score_problem
from gzsl_dist.experiment.run_directory import locked, open_run_directory
from gzsl_dist.experiment.selection import choose
from gzsl_dist.inference.assemble import assemble
from gzsl_dist.models.networks import Networks
from gzsl_dist.monitoring.board import draw, show_result
from gzsl_dist.monitoring.progress import say
from gzsl_dist.monitoring.tables import print_result
from gzsl_dist.run.files import RunFiles
from gzsl_dist.run.metrics import read_metrics
from gzsl_dist.run.result import Result
from gzsl_dist.run.selection import Selection
from gzsl_dist.run.state import recorded_state
from gzsl_dist.training.anchor import with_anchor
from gzsl_dist.training.loop import fit
from gzsl_dist.training.resume import earlier_checkpoints
from gzsl_dist.training.stop_signal import StopSignal


def run(config: Config, processes: Processes, stop: StopSignal) -> Result | None:
    """Run a configuration to its end, going on from where an earlier start stopped.

    Args:
        config: all settings.
        processes: the job.
        stop: when raised on any process, all save and stop.

    Returns:
        The figures on test rows; None if `evaluation.final` is false.

    Raises:
        InputError: data, configuration or run directory do not fit.
        DivergedError: a loss became NaN or infinite.
        PreemptedError: a signal asked to stop, and a checkpoint was saved.
    """
    started = time.monotonic()
    settings = {name: str(value) for name, value in flat(config.model_dump()).items()}
    processes.agree(settings, "give all processes the same configuration file and options")
    strategy = processes.together(lambda: choose_strategy(config.train, processes))
    processes.once(lambda: earlier_checkpoints(config.train.resume))
    dataset = processes.together(lambda: load_dataset(config.data.path, config.data.in_memory))
    processes.agree(
        {
            f"data.path {config.data.path}": f"{dataset.name} of fingerprint "
            f"{dataset.fingerprint[:12]}",
            "train.strategy": strategy.name,
        },
        "give all machines the same files, on shared storage or as equal copies",
    )
    with locked(config, processes) as directory:
        processes.agree_on_folder("run directory", directory)
        open_run_directory(config, processes)
        say(
            processes,
            f"{config.method} on {dataset.name}: {len(dataset.seen_classes)} seen and "
            f"{len(dataset.unseen_classes)} unseen classes, {processes.world_size} process(es), "
            f"{strategy.name}, {processes.device.type}, {config.train.precision}; "
            f"run in {directory}",
        )
        if isinstance(dataset.features, StoredFeatures):
            say(processes, f"features stay on disk: {dataset.features.path}")
        with recorded_state(directory, processes.is_first):
            return finish(dataset, config, processes, strategy, directory, stop, started)


def finish(
    dataset: Dataset,
    config: Config,
    processes: Processes,
    strategy: Strategy,
    directory: Path,
    stop: StopSignal,
    started: float,
) -> Result | None:
    """What is left of a run: selection, training, the one measurement on test rows."""
    files = RunFiles(directory)
    path = files.result
    if processes.once(path.exists):
        say(processes, f"this run is finished: {path}")
        result = processes.once(lambda: Result.read(path))
        if result.dataset["fingerprint"] != dataset.fingerprint:
            raise InputError(
                f"{path}: of a data set with fingerprint {result.dataset['fingerprint'][:12]}, "
                f"this one has {dataset.fingerprint[:12]}; use another --run.dir"
            )
        print_result(result, directory, processes)
        return result
    dataset, guard = guarded(dataset)
    selection = choose(dataset, config, processes, strategy, directory, stop)
    if not config.evaluation.final:
        say(processes, "evaluation.final false: no test row was read")
        return None
    problem = final_problem(dataset, config)
    networks, summary = None, None
    if config.method in BASELINES:
        fitted = fit_baseline(problem, config.method, selection.settings or {})
        guard.end_training()
        scored = processes.once(lambda: score_rows(fitted, problem))
    else:
        networks = train(problem, config, processes, strategy, directory, stop, selection, guard)
        guard.end_training()
        classifier = fit_classifier(networks, problem, config, processes)
        summary = classifier.fit
        model = assemble(networks, classifier, problem, dataset, config, selection)
        processes.once(lambda: model.save(files.model))
        scored = score_problem(networks, classifier, problem, config, processes)
    factor = selection.calibration_factor
    processes.once(lambda: write_details(directory, networks, problem, config, scored, factor))
    result = result_of(
        scored,
        problem,
        dataset,
        config,
        selection,
        steps=selection.steps,
        strategy="closed form" if config.method in BASELINES else strategy.name,
        world_size=processes.world_size,
        seconds=time.monotonic() - started,
        fit=summary,
    )
    result = dataclasses.replace(
        result,
        test_rows=count_reads(guard, directory, processes),
        oracle=processes.once(lambda: best_on_test(read_metrics(files.metrics))),
    )
    processes.once(lambda: result.write(path))
    print_result(result, directory, processes)
    draw(
        lambda: show_result(files.tensorboard, config, result, scored, problem.names),
        processes,
    )
    return result


def train(
    problem: Problem,
    config: Config,
    processes: Processes,
    strategy: Strategy,
    directory: Path,
    stop: StopSignal,
    selection: Selection,
    guard: GuardedFeatures,
) -> Networks:
    """Train on all seen classes, for as many steps as were chosen."""

    def oracle(step: int, networks: Networks) -> dict[str, float]:
        processes.once(lambda: note_early_read(directory, "oracle", step, guard.test_rows))
        with guard.oracle():
            classifier = fit_classifier(networks, problem, config, processes)
            scored = score_problem(networks, classifier, problem, config, processes)
            return oracle_figures(scored)

    return fit(
        problem,
        with_anchor(config, selection.settings),
        processes,
        strategy,
        directory,
        title="training",
        steps=selection.steps,
        fingerprint=selection.fingerprint,
        stop=stop,
        oracle=oracle if config.evaluation.oracle and problem.is_measured else None,
        start=processes.once(lambda: earlier_checkpoints(config.train.resume)),
    )
