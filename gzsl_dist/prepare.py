"""Prepare data for training: ``python -m gzsl_dist.prepare``.

Either a pair of xlsa17 files (MATLAB), or with --classes any features (.npy, .npz, .parquet, .h5,
.mat; one row an image), a table of their rows (.csv, .tsv, .json, .parquet: label, perhaps split)
and a file of the classes: a table (name, columns of numbers, perhaps split), or a .npy of semantics
with --names. Classes without training rows are unseen.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gzsl_dist.command import CommandParser, run_command, whole_number
from gzsl_dist.errors import InputError


def main(arguments: list[str]) -> int:
    """Prepare as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.prepare", description=__doc__)
    parser.add_argument("features", type=Path, help="features, and labels if MATLAB")
    parser.add_argument(
        "splits", type=Path, help="MATLAB file with att and the splits, or the table of rows"
    )
    parser.add_argument("out", type=Path, nargs="?", help="HDF5 file to write")
    parser.add_argument("--name", help="name in reports [folder of SPLITS, or FEATURES]")
    parser.add_argument("--classes", type=Path, metavar="FILE", help="names and semantics")
    parser.add_argument("--names", type=Path, metavar="FILE", help="names of a .npy, one a line")
    parser.add_argument("--unseen", type=Path, metavar="FILE", help="unseen classes, one a line")
    parser.add_argument(
        "--held-out", type=float, default=0.2, metavar="SHARE",
        help="of each seen class's rows, to test on, where the table does not say; default 0.2",
    )  # fmt: skip
    parser.add_argument("--seed", type=whole_number, default=0, help="of that draw; default 0")
    parser.add_argument("--check", action="store_true", help="check the files, write nothing")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)
    if options.out is None and not options.check:
        raise InputError("OUT.h5 is missing; name the file to write, or give --check")

    from gzsl_dist.data.dataset import summary
    from gzsl_dist.data.store import check_target, write_dataset
    from gzsl_dist.data.xlsa17 import read_pair
    from gzsl_dist.extraction.from_tables import read_tables
    from gzsl_dist.extraction.tables import TABLES

    if options.classes is None and options.splits.suffix.lower() in TABLES:
        raise InputError(f"{options.splits}: a table of rows needs --classes FILE beside it")
    if not options.check:
        check_target(options.out, overwrite=options.overwrite)
    if options.classes is None:
        dataset = read_pair(options.features, options.splits, options.name)
    else:
        dataset = read_tables(
            options.features,
            options.splits,
            options.classes,
            names=options.names,
            unseen=options.unseen,
            held_out=options.held_out,
            seed=options.seed,
            name=options.name,
        )
    print(summary(dataset))
    if not options.check:
        write_dataset(options.out, dataset, overwrite=options.overwrite)
        print(f"written: {options.out}")
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
