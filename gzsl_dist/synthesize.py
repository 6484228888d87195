"""Synthesize a bank of features from a trained run: ``python -m gzsl_dist.synthesize``."""

from __future__ import annotations

import sys
from pathlib import Path

from gzsl_dist.command import CommandParser, positive_integer, run_command


def main(arguments: list[str]) -> int:
    """Synthesize as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.synthesize", description=__doc__)
    parser.add_argument("--run", required=True, type=Path, help="run directory")
    parser.add_argument("--out", required=True, type=Path, help="HDF5 file to write")
    parser.add_argument(
        "--per-class", required=True, type=positive_integer, help="rows of each class"
    )
    parser.add_argument("--classes", choices=("unseen", "all"), default="unseen")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)

    from gzsl_dist.bank.generate import synthesize_class
    from gzsl_dist.bank.hdf5_bank import BankInfo, write_bank
    from gzsl_dist.distributed.processes import start_processes
    from gzsl_dist.monitoring.progress import say
    from gzsl_dist.training.trained import load_run

    with start_processes() as processes:
        trained = load_run(options.run, processes)
        problem = trained.problem
        first = problem.seen_count if options.classes == "unseen" else 0
        seed = trained.config.train.seed
        blocks = (
            (
                int(problem.classes[number]),
                synthesize_class(
                    trained.networks.generator,
                    problem.semantics[number],
                    number=int(problem.classes[number]),
                    rows=slice(0, options.per_class),
                    seed=seed,
                )
                .cpu()
                .numpy(),
            )
            for number in range(first, len(problem.classes))
        )
        info = BankInfo(
            fingerprint=trained.dataset.fingerprint,
            classes=trained.dataset.classes,
            scaling=problem.scaling,
            seed=seed,
            step=trained.step,
            per_class=options.per_class,
        )
        processes.once(lambda: write_bank(options.out, info, blocks, overwrite=options.overwrite))
        rows = options.per_class * (len(problem.classes) - first)
        say(processes, f"{options.out}: {rows} rows of {problem.feature_dim} values")
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
