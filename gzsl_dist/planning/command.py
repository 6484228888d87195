"""The options of a dry run and what it prints; nothing here imports torch before it must."""

from __future__ import annotations

import argparse

from gzsl_dist.config import Config
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.distributed.launch_environment import is_reporting_process
from gzsl_dist.errors import InputError

DEFAULT_WORLD_SIZES = "1,2,4,8"


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser ``--dry-run``, ``--plan.world-size`` and ``--plan.shape``."""
    group = parser.add_argument_group("plan")
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="train nothing; print what each process would hold and send in one step",
    )
    group.add_argument(
        "--plan.world-size",
        dest="plan_world_size",
        metavar="N,N,...",
        help=f"numbers of processes for --dry-run [{DEFAULT_WORLD_SIZES}, up to the batch]",
    )
    group.add_argument(
        "--plan.shape",
        dest="plan_shape",
        metavar="C,DX,DA,ROWS",
        help="seen classes, d_x, d_a and training rows for --dry-run [those of data.path]",
    )


def print_plan(config: Config, arguments: argparse.Namespace) -> None:
    """Print the table of a dry run.

    Raises:
        InputError: a wrong option, or the data set's sizes cannot be read.
    """
    if config.method in BASELINES:
        raise InputError(f"--dry-run: {config.method} trains no networks; there is nothing to plan")
    from gzsl_dist.planning.shapes import shape_of_data, shape_of_option

    text, given = arguments.plan_world_size, arguments.plan_shape
    sizes = world_sizes(DEFAULT_WORLD_SIZES if text is None else text)
    if text is None:
        sizes = [size for size in sizes if size <= config.train.batch_size]
    shape = shape_of_data(config.data.path) if given is None else shape_of_option(given)
    from gzsl_dist.planning.plan import check_world_size, make_plan
    from gzsl_dist.planning.table import plan_table

    for size in sizes:
        check_world_size(config, size)
    if is_reporting_process():  # under a launcher, one table is enough
        print(plan_table(config, shape, [make_plan(config, shape, size) for size in sizes]))


def check_plan_arguments(arguments: argparse.Namespace) -> None:
    """Refuse options of a plan where none is asked for.

    Raises:
        InputError: ``--plan.*`` without ``--dry-run``.
    """
    for name in ("world_size", "shape"):
        if getattr(arguments, f"plan_{name}") is not None and not arguments.dry_run:
            raise InputError(f"--plan.{name.replace('_', '-')} needs --dry-run; give both")


def world_sizes(text: str) -> list[int]:
    """Numbers of processes from ``8,64,512``.

    Raises:
        InputError: not whole numbers of 1 or more.
    """
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise InputError(
            f"--plan.world-size {text!r}: must be whole numbers of 1 or more, as in 8,64,512"
        )
    return sizes
