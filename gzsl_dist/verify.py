"""Prove that this machine, or this job, trains exactly: ``python -m gzsl_dist.verify``.

Alone or under torchrun or srun, with the trainer's own settings. A line a check: devices and
versions, files that all processes share, clocks, communication, gradients and negatives against one
process, save, kill and resume, disk and locks, memory against the plan. Exit code 0 only if all
hold. Some files are written in the run directory, and removed.
"""

from __future__ import annotations

import sys

from gzsl_dist.command import CommandParser, run_command
from gzsl_dist.config.command_line import add_setting_arguments, config_from_arguments


def main(arguments: list[str]) -> int:
    """Verify as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.verify", description=__doc__)
    parser.usage = "%(prog)s [--config FILE] [--json] [--section.key VALUE ...]"
    add_setting_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    known, unknown = parser.parse_known_args(arguments)
    config = config_from_arguments(known, unknown)
    # torch is imported only here, so that --help and wrong settings answer at once
    from gzsl_dist.distributed.processes import start_processes
    from gzsl_dist.verification.run import verify

    timeout = config.train.collective_timeout
    with start_processes(config.train.device, timeout) as processes:
        verify(config, processes, as_json=known.json)
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
