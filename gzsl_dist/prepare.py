"""Prepare a pair of xlsa17 files for training: ``python -m gzsl_dist.prepare``."""

from __future__ import annotations

import sys
from pathlib import Path

from gzsl_dist.command import CommandParser, run_command
from gzsl_dist.errors import InputError


def main(arguments: list[str]) -> int:
    """Prepare as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.prepare", description=__doc__)
    parser.add_argument("features", type=Path, help="MATLAB file with features and labels")
    parser.add_argument("splits", type=Path, help="MATLAB file with att and the splits")
    parser.add_argument("out", type=Path, nargs="?", help="HDF5 file to write")
    parser.add_argument("--name", help="name in reports [folder of SPLITS]")
    parser.add_argument("--check", action="store_true", help="check the files, write nothing")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)
    if options.out is None and not options.check:
        raise InputError("OUT.h5 is missing; name the file to write, or give --check")

    from gzsl_dist.data.dataset import summary
    from gzsl_dist.data.store import check_target, write_dataset
    from gzsl_dist.data.xlsa17 import read_pair

    if not options.check:
        check_target(options.out, overwrite=options.overwrite)
    dataset = read_pair(options.features, options.splits, options.name)
    print(summary(dataset))
    if not options.check:
        write_dataset(options.out, dataset, overwrite=options.overwrite)
        print(f"written: {options.out}")
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
