"""A whole run: what all processes agree on, the run directory, and the experiment in it."""

from __future__ import annotations

import time
from pathlib import Path

from gzsl_dist.config import Config
from gzsl_dist.config.nested import flat
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.config.sizes import sized, told_size
from gzsl_dist.data.batches import check_batch_size
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.features import StoredFeatures
from gzsl_dist.data.load import load_dataset
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.log import log_rank0
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import Strategy
from gzsl_dist.errors import InputError
from gzsl_dist.experiment.experiment import Experiment
from gzsl_dist.experiment.run_directory import locked, open_run_directory
from gzsl_dist.monitoring.tables import print_result
from gzsl_dist.planning.shapes import shape_of
from gzsl_dist.run.files import RunFiles
from gzsl_dist.run.result import Result
from gzsl_dist.run.state import recorded_state
from gzsl_dist.training.callbacks import callback_classes
from gzsl_dist.training.resume import earlier_checkpoints
from gzsl_dist.training.stop_signal import StopSignal


def run(config: Config, processes: DistributedContext, stop: StopSignal) -> Result | None:
    """Run a configuration to its end, resuming where an earlier start stopped.

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
    processes.run_on_rank0(lambda: earlier_checkpoints(config.train.resume))
    processes.run_on_all_ranks(
        lambda: processes.is_main_process and callback_classes(config.train.callbacks)
    )
    dataset = processes.run_on_all_ranks(
        lambda: load_dataset(config.data.path, config.data.in_memory)
    )
    device = processes.run_on_rank0(lambda: processes.device.type)
    config = sized(config, shape_of(dataset), device)
    strategy = processes.run_on_all_ranks(lambda: choose_strategy(config.train, processes))
    if config.method not in BASELINES:
        rows = len(dataset.splits["trainval"])
        processes.run_on_rank0(lambda: check_batch_size(config.train.batch_size, rows))
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
        log_rank0(
            processes,
            f"{config.method} on {dataset.name}{told_size(config)}: "
            f"{len(dataset.seen_classes)} seen and {len(dataset.unseen_classes)} unseen classes, "
            f"{processes.world_size} process(es), "
            f"{strategy.name}, {processes.device.type}, {config.train.precision}; "
            f"run in {directory}",
        )
        if isinstance(dataset.features, StoredFeatures):
            log_rank0(processes, f"features stay on disk: {dataset.features.path}")
        with recorded_state(directory, processes.is_main_process):
            return finish(dataset, config, processes, strategy, directory, stop, started)


def finish(
    dataset: Dataset,
    config: Config,
    processes: DistributedContext,
    strategy: Strategy,
    directory: Path,
    stop: StopSignal,
    started: float,
) -> Result | None:
    """What is left of a run: selection, training, the one measurement on test rows."""
    files = RunFiles(directory)
    path = files.result
    if processes.run_on_rank0(path.exists):
        log_rank0(processes, f"this run is finished: {path}")
        result = processes.run_on_rank0(lambda: Result.read(path))
        if result.dataset["fingerprint"] != dataset.fingerprint:
            raise InputError(
                f"{path}: of a data set with fingerprint {result.dataset['fingerprint'][:12]}, "
                f"this one has {dataset.fingerprint[:12]}; use another --run.dir"
            )
    else:
        experiment = Experiment(dataset, config, processes, strategy, stop, files)
        selection = experiment.select()
        if not config.evaluation.final:
            log_rank0(processes, "evaluation.final false: no test row was read")
            return None
        result = experiment.measure(experiment.fit(selection), started)
    print_result(result, directory, processes)
    return result
