"""Measure a trained run on the test rows: ``python -m gzsl_dist.evaluate``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from gzsl_dist.command import CommandParser, add_run_argument, positive_integer, run_command

AN_HOUR = 3600  # a pass over a large bank, after which processes meet, may take long


def main(arguments: list[str]) -> int:
    """Evaluate as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.evaluate", description=__doc__)
    add_run_argument(parser)
    parser.add_argument(
        "--bank", type=Path, help="use this bank's rows instead of synthesizing them anew"
    )
    parser.add_argument(
        "--force", action="store_true", help="use a bank of another data set, generator or scaling"
    )
    parser.add_argument(
        "--bank-memory", type=positive_integer, default=2048, metavar="MIB",
        help="a bank whose rows need more is read from disk in every pass; default 2048",
    )  # fmt: skip
    parser.add_argument(
        "--shard-classes", action="store_true",
        help="for very many classes: every process holds the classifier's weights of some",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="also write the result as JSON")
    parser.add_argument(
        "--details", action="store_true",
        help="also write representation.json and confusion.json into the run directory, for "
        "gzsl_dist.report; runs write them themselves, older ones did not",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.details and options.bank is not None:
        parser.error("--details describes the run itself; leave out --bank")

    from gzsl_dist.bank.reader import BankReader
    from gzsl_dist.data.memory import fits_in_memory
    from gzsl_dist.distributed.processes import start_processes
    from gzsl_dist.evaluation.bank_rows import BankRows, bank_rows, bank_weights, check_fits
    from gzsl_dist.evaluation.classifier_space import ClassifierSpace
    from gzsl_dist.evaluation.details import write_details
    from gzsl_dist.evaluation.oracle import note_early_read
    from gzsl_dist.evaluation.result import result_of
    from gzsl_dist.evaluation.score import fit_classifier, score_problem
    from gzsl_dist.monitoring.tables import print_result
    from gzsl_dist.run.files import RunFiles
    from gzsl_dist.training.trained import load_run

    started = time.monotonic()
    with start_processes(timeout=AN_HOUR) as processes:
        trained = load_run(options.run, processes)
        problem, synthetic, networks = trained.problem, None, trained.networks
        finished = processes.run_on_rank0(RunFiles(options.run).result.exists)
        if not finished:  # and may still be trained further
            rows_read = len(problem.seen) + len(problem.unseen)
            processes.run_on_rank0(
                lambda: note_early_read(options.run, "evaluate", trained.step, rows_read)
            )
        weights = None
        if options.bank is not None:
            space = trained.config.evaluation.space or "x"

            def open_bank() -> BankRows:
                reader, dataset = BankReader(options.bank), trained.dataset
                check_fits(reader, problem, networks, dataset.fingerprint, force=options.force)
                return bank_rows(reader, problem, dataset.classes, networks, space, processes)

            rows = processes.run_on_all_ranks(open_bank)
            processes.agree(
                {f"--bank {options.bank}": f"bank {rows.reader.token}"},
                "give all machines the same bank, on shared storage or as equal copies",
            )
            classifier_space = ClassifierSpace.configured(trained.config.evaluation)
            size = rows.bytes(classifier_space.row_bytes(networks))
            own = size // processes.world_size
            in_memory = (
                not rows.embedded
                and size <= options.bank_memory << 20
                and fits_in_memory(own, processes.device)
            )
            synthetic = rows.in_memory() if in_memory else rows
            per_class = trained.config.evaluation.rows_per_class
            weights = bank_weights(rows.reader, problem, per_class)
        classifier = fit_classifier(
            networks,
            problem,
            trained.config,
            processes,
            synthetic,
            class_weights=weights,
            shard_classes=options.shard_classes,
        )
        scored = score_problem(networks, classifier, problem, trained.config.evaluation, processes)
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
            fit=classifier.fit,
        )
        if options.details:
            config, factor = trained.config, trained.selection.calibration_factor
            processes.run_on_rank0(
                lambda: write_details(options.run, networks, problem, config, scored, factor)
            )
        if options.out is not None:
            processes.run_on_rank0(lambda: result.write(options.out))
        print_result(result, options.run, processes)
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
