"""Train a generalized zero-shot learner and measure it: ``python -m gzsl_dist.train``.

Alone or under torchrun or srun; the same command resumes from where an earlier start stopped.
"""

from __future__ import annotations

import argparse
import sys

from gzsl_dist.command import CommandParser, run_command
from gzsl_dist.config.command_line import add_setting_arguments, config_from_arguments
from gzsl_dist.config.files import to_yaml
from gzsl_dist.errors import InterruptedRunError
from gzsl_dist.planning.command import add_plan_arguments, check_plan_arguments, print_plan
from gzsl_dist.training.stop_signal import stop_signal


def main(arguments: list[str]) -> int:
    """Train as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.train", description=__doc__)
    parser.usage = "%(prog)s [--config FILE] [--print-config] [--dry-run] [--section.key VALUE ...]"
    add_setting_arguments(parser)
    add_plan_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print errors and the last table only")
    # The deepspeed launcher passes it on; its variable LOCAL_RANK says the same.
    parser.add_argument("--local_rank", help=argparse.SUPPRESS)
    known, unknown = parser.parse_known_args(arguments)
    config = config_from_arguments(known, unknown)
    check_plan_arguments(known)
    if known.print_config:
        print(to_yaml(config), end="")
        return 0
    if known.dry_run:
        print_plan(config, known)
        return 0
    with stop_signal(config.train.stop_signals) as stop:
        # torch is imported only here, so that --help and wrong settings answer at once
        from gzsl_dist.distributed.processes import start_processes
        from gzsl_dist.experiment.run import run

        timeout = config.train.collective_timeout
        with start_processes(config.train.device, timeout, quiet=known.quiet) as processes:
            try:
                run(config, processes, stop)
            except KeyboardInterrupt:
                raise InterruptedRunError(
                    "interrupted between training steps; the same command resumes from the newest "
                    "checkpoint"
                ) from None
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
