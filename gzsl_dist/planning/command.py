"""The options of a dry run and what it prints; nothing here imports torch before it must."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gzsl_dist.config import Config
from gzsl_dist.config.files import check_start
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.config.sizes import sized
from gzsl_dist.distributed.launch_environment import is_reporting_process
from gzsl_dist.errors import InputError

if TYPE_CHECKING:
    from gzsl_dist.data.dataset import Dataset

DEFAULT_WORLD_SIZES = "1,2,4,8"


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser ``--dry-run``, ``--plan.world-size`` and ``--plan.shape``."""
    group = parser.add_argument_group("plan")
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="start and write nothing: print what would run, with what each process would hold and "
        "send in one step; an error where the run would be refused",
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
    """Print what would run: the table of a dry run, and how its run directory would be begun.

    With ``--plan.shape``, a plan for other machines, neither data nor run directory are looked at.

    Raises:
        InputError: a wrong option, the data set's sizes cannot be read, or the run would be
            refused.
    """
    from gzsl_dist.planning.shapes import opened, shape_of, shape_of_option

    text, given = arguments.plan_world_size, arguments.plan_shape
    sizes = world_sizes(DEFAULT_WORLD_SIZES if text is None else text)
    dataset = opened(config.data.path) if given is None else None
    shape = shape_of_option(given) if dataset is None else shape_of(dataset)
    if config.size is not None:
        from gzsl_dist.distributed.processes import device_type

        config = sized(config, shape, device_type(config.train.device))
    if text is None:
        sizes = [size for size in sizes if size <= config.train.batch_size]
    lines = []
    if config.method in BASELINES:
        lines.append(f"{config.method}: closed form, by one process; there is no step to plan")
    else:
        from gzsl_dist.data.batches import check_batch_size
        from gzsl_dist.planning.plan import check_world_size, make_plan
        from gzsl_dist.planning.table import plan_table

        if dataset is not None:  # to plan such a batch takes minutes too
            check_batch_size(config.train.batch_size, shape.rows)
        for size in sizes:
            check_world_size(config, size)
        if is_reporting_process():
            plans = [make_plan(config, shape, size) for size in sizes]
            lines.append(plan_table(config, shape, plans))
    if is_reporting_process():  # under a launcher, one table is enough
        print(*lines, sep="\n", flush=True)
        if dataset is not None:
            print(f"run directory {config.run_dir}: {_check_run(config, dataset)}")


def _check_run(config: Config, dataset: Dataset) -> str:
    """What `gzsl_dist.experiment.run` checks before it trains; how the run would start."""
    from gzsl_dist.training.callbacks import callback_classes
    from gzsl_dist.training.resume import check_start as check_checkpoints
    from gzsl_dist.training.resume import earlier_checkpoints

    how = check_start(config.run_dir, config)
    if config.method not in BASELINES:
        callback_classes(config.train.callbacks)
        earlier_checkpoints(config.train.resume)
        if config.train.resume != "never":
            check_checkpoints(config.run_dir, dataset, config)
    return how


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
