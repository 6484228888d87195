"""Measure a trained run on the official test rows: ``python -m gzsl_dist.evaluate``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from gzsl_dist.command import CommandParser, run_command


def main(arguments: list[str]) -> int:
    """Evaluate as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.evaluate", description=__doc__)
    parser.add_argument("--run", required=True, type=Path, help="run directory")
    parser.add_argument(
        "--bank", type=Path, help="use this bank's rows instead of synthesizing them anew"
    )
    parser.add_argument("--out", type=Path, help="also write the result as JSON")
    options = parser.parse_args(arguments)

    import torch

    from gzsl_dist.bank.hdf5_bank import read_bank
    from gzsl_dist.data.problem import Rows
    from gzsl_dist.distributed.processes import start_processes
    from gzsl_dist.errors import InputError
    from gzsl_dist.evaluation.result import result_of
    from gzsl_dist.evaluation.score import score_problem
    from gzsl_dist.monitoring.tables import print_result
    from gzsl_dist.training.trained import load_run

    started = time.monotonic()
    with start_processes() as processes:
        trained = load_run(options.run, processes)
        problem, synthetic = trained.problem, None
        if options.bank is not None:
            features, labels = read_bank(options.bank, trained.dataset.fingerprint, problem.scaling)
            numbers = problem.numbers(labels)
            unseen = numbers >= problem.seen_count
            if set(numbers[unseen]) != set(range(problem.seen_count, len(problem.classes))):
                raise InputError(f"{options.bank}: lacks unseen classes; synthesize them all")
            mine = processes.share(int(unseen.sum()))
            synthetic = Rows(
                torch.from_numpy(features[unseen][mine]), torch.from_numpy(numbers[unseen][mine])
            )
        scored = score_problem(trained.networks, problem, trained.config, processes, synthetic)
        result = result_of(
            scored,
            problem,
            trained.dataset,
            trained.config,
            trained.selection,
            steps=trained.step,
            strategy="evaluate",
            world_size=processes.world_size,
            seconds=time.monotonic() - started,
        )
        if options.out is not None:
            processes.once(lambda: result.write(options.out))
        print_result(result, options.run, processes)
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
