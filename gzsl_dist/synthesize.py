"""Synthesize a bank of features from a trained run: ``python -m gzsl_dist.synthesize``.

Alone or under torchrun. One process writes one file; several write a shard each beside OUT. Killed,
the same command resumes where it stopped, on any number of processes. Format: docs/bank.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gzsl_dist.command import CommandParser, add_run_argument, positive_integer, run_command

if TYPE_CHECKING:
    from gzsl_dist.bank.layout import BankInfo
    from gzsl_dist.training.trained import TrainedRun


def main(arguments: list[str]) -> int:
    """Synthesize as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.synthesize", description=__doc__)
    add_run_argument(parser)
    parser.add_argument("--out", required=True, type=Path, help="HDF5 file to write")
    parser.add_argument(
        "--per-class", required=True, type=positive_integer, help="rows of each class"
    )
    parser.add_argument(
        "--classes",
        default="unseen",
        metavar="unseen|all|NAME,NAME|FILE",
        help="default unseen; a text file names one a line",
    )
    parser.add_argument(
        "--dtype", choices=("float16", "bfloat16", "float32"), default="float32",
        help="type of the values; default float32",
    )  # fmt: skip
    parser.add_argument(
        "--units", choices=("scaled", "original"), default="scaled",
        help="features in [0, 1] of training rows, as the networks see them, or as real ones are; "
        "default scaled",
    )  # fmt: skip
    parser.add_argument(
        "--compression", choices=("none", "lzf", "gzip", "zstd"), default="none",
        help="default none; zstd needs the package hdf5plugin",
    )  # fmt: skip
    parser.add_argument(
        "--embeddings", action="store_true", help="also store h, what the embedding network says"
    )
    parser.add_argument(
        "--shards", type=positive_integer, help="files with rows to write; default one a process"
    )
    parser.add_argument(
        "--block-rows", type=positive_integer, default=1024,
        help="rows made, written and checked at a time; default 1024",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace an existing bank")
    options = parser.parse_args(arguments)

    from gzsl_dist.bank.compression import load_plugin
    from gzsl_dist.bank.generate import BlockMaker
    from gzsl_dist.bank.writer import write_bank
    from gzsl_dist.distributed.log import log_rank0
    from gzsl_dist.distributed.processes import start_processes
    from gzsl_dist.monitoring.progress import StepProgress
    from gzsl_dist.training.trained import load_run

    load_plugin(options.compression)
    with start_processes() as processes:
        trained = load_run(options.run, processes)
        info = processes.run_on_all_ranks(lambda: bank_info(trained, options))
        networks = trained.networks.eval()
        blocks = -(-info.block_count // processes.world_size)
        with StepProgress("synthesize (blocks)", blocks, 0, processes) as progress:

            def report(done: int, total: int) -> None:
                progress.steps = total
                progress.advance(done, {})

            write_bank(
                options.out,
                info,
                BlockMaker(
                    networks.generator, networks.embedding if info.embedding_width else None, info
                ),
                processes,
                shards=options.shards,
                overwrite=options.overwrite,
                report=report,
            )
        log_rank0(
            processes, f"{options.out}: {info.rows} rows of {info.width} values, {info.dtype}"
        )
    return 0


def bank_info(trained: TrainedRun, options: argparse.Namespace) -> BankInfo:
    """The description of the bank that the options ask for.

    Raises:
        InputError: an unknown class, or embeddings of a run that has no embedding network.
    """
    import numpy as np

    from gzsl_dist.bank.layout import BankInfo
    from gzsl_dist.errors import InputError
    from gzsl_dist.inference.files import read_names
    from gzsl_dist.models.fingerprint import fingerprint

    dataset, problem, networks = trained.dataset, trained.problem, trained.networks
    if options.classes in ("all", "unseen"):
        first = 0 if options.classes == "all" else problem.seen_count
        labels = np.sort(problem.classes[first:])
    else:
        number = {name: index for index, name in enumerate(dataset.classes)}
        names = read_names(options.classes)
        if unknown := [name for name in names if number.get(name) not in problem.classes]:
            raise InputError(
                f"--classes: {unknown[0]!r} is no class of {dataset.name}; give unseen, all "
                f"or names such as {dataset.classes[problem.classes[0]]}"
            )
        labels = np.unique([number[name] for name in names])
    if options.embeddings and networks.embedding is None:
        raise InputError(f"--embeddings: run {options.run} has no embedding network; leave it out")
    width = 0
    if options.embeddings and networks.embedding is not None:
        width = networks.embedding.embed.out_features
    return BankInfo(
        dataset_name=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        generator_fingerprint=fingerprint(networks.generator),
        embedding_fingerprint=fingerprint(networks.embedding)
        if networks.embedding and width
        else "",
        classes=dataset.classes,
        semantics=dataset.semantics,
        semantics_norm=trained.config.data.semantics_norm,
        scaling=problem.scaling,
        seed=trained.config.train.seed,
        step=trained.step,
        labels=labels.astype(np.int64),
        counts=np.full(len(labels), options.per_class, np.int64),
        width=problem.feature_dim,
        embedding_width=width,
        dtype=options.dtype,
        compression=options.compression,
        block_rows=options.block_rows,
        units=options.units,
    )


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
