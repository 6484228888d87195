"""Write a simulated data set with the shapes of a real one: ``python -m gzsl_dist.simulate``."""

from __future__ import annotations

import sys
from pathlib import Path

from gzsl_dist.command import CommandParser, positive_integer, run_command

LIKE = ("cub", "awa2", "sun", "imagenet21k")


def main(arguments: list[str]) -> int:
    """Simulate as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.simulate", description=__doc__)
    parser.add_argument("out_dir", type=Path, metavar="OUT_DIR", help="folder for dataset.h5")
    parser.add_argument("--like", required=True, choices=LIKE, help="whose shapes")
    parser.add_argument("--rows", type=positive_integer, help="number of rows [as published]")
    parser.add_argument(
        "--classes", type=positive_integer, metavar="N", help="number of classes [as published]"
    )
    parser.add_argument("--d-x", type=positive_integer, metavar="N", help="d_x [as published]")
    parser.add_argument("--seed", type=int, default=0, help="decides everything [0]")
    parser.add_argument(
        "--private",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the variance of class means that semantics do not predict, below 1 [0]",
    )
    parser.add_argument(
        "--difficulty",
        action="store_true",
        help="print the T1 that who knows how the data are made would reach",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)

    from gzsl_dist.data.dataset import summary
    from gzsl_dist.data.simulation import reachable_t1, simulate
    from gzsl_dist.data.store import check_target, write_dataset
    from gzsl_dist.errors import InputError

    if not 0 <= options.seed < 2**63:
        raise InputError(f"--seed {options.seed}: must be 0 or more, and below 2^63")
    path = options.out_dir / "dataset.h5"
    check_target(path, overwrite=options.overwrite)
    made = (
        options.like, options.rows, options.seed, options.private, options.classes, options.d_x
    )  # fmt: skip
    dataset = simulate(*made)
    write_dataset(path, dataset, overwrite=options.overwrite)
    print(summary(dataset))
    if options.difficulty:
        t1 = reachable_t1(*made)
        print(f"a linear discriminant on rows drawn as these are reaches T1 {100 * t1:.1f} %")
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
