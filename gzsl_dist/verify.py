"""Prove exactness, resume and the machines' fitness: ``python -m gzsl_dist.verify``.

Alone or under torchrun or srun, with the trainer's own settings. Trains small networks with the
configured losses, strategy and precision, and reads the run directory. Exit code 0 only if all
checks hold, else 2.
"""

from __future__ import annotations

import sys

from gzsl_dist.command import CommandParser, run_command
from gzsl_dist.command_line import add_setting_arguments, config_from_arguments
from gzsl_dist.errors import InputError


def main(arguments: list[str]) -> int:
    """Verify as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.verify", description=__doc__)
    parser.usage = "%(prog)s [--config FILE] [--json] [--section.key VALUE ...]"
    add_setting_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object, no table")
    known, unknown = parser.parse_known_args(arguments)
    config = config_from_arguments(known, unknown)
    from gzsl_dist.distributed.processes import start_processes
    from gzsl_dist.verification.report import as_json, as_table
    from gzsl_dist.verification.run import verify

    timeout = config.train.collective_timeout
    with start_processes(config.train.device, timeout, quiet=True) as processes:
        checks, strategy = verify(config, processes)
        if processes.is_first:
            size = processes.world_size
            print(as_json(checks, size, strategy) if known.json else as_table(checks), flush=True)
    return 0 if all(check.passed for check in checks) else InputError.exit_code


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
