"""Which settings for these data? A search on validation classes: ``python -m gzsl_dist.search``.

Takes the trainer's own options as what all trials share, and tries others (--space) by optuna's
TPE. No test row is read. The journal, the trials and ``best.yaml``, for ``gzsl train --config``,
are in ``search/`` of the run directory. The same command resumes where it was stopped; several at a
time share the trials. More: docs/search.md.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from gzsl_dist.command import CommandParser, positive_integer, run_command
from gzsl_dist.config.command_line import add_setting_arguments, config_from_arguments
from gzsl_dist.config.files import to_yaml
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.errors import InputError, InterruptedRunError
from gzsl_dist.training.stop_signal import stop_signal


def main(arguments: list[str]) -> int:
    """Search as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.search", description=__doc__)
    parser.usage = (
        "%(prog)s [--config FILE] [--trials N] [--methods NAME,NAME] [--space FILE] "
        "[--section.key VALUE ...]"
    )
    add_setting_arguments(parser)
    parser.add_argument(
        "--trials", type=positive_integer, default=20, metavar="N", help="of each method [20]"
    )
    parser.add_argument("--methods", metavar="NAME,NAME", help="to search [that of the settings]")
    parser.add_argument(
        "--space", type=Path, metavar="FILE",
        help="settings to try, a line each: NAME: [CHOICE, CHOICE] or NAME: {low: X, high: X}, "
        "log: true for its logarithm [sweeps/space.yaml in the package]",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="print errors and the last table only")
    known, unknown = parser.parse_known_args(arguments)
    config = config_from_arguments(known, unknown)
    methods = known.methods.split(",") if known.methods else [config.method]
    for method in methods:
        if method in BASELINES:
            raise InputError(
                f"gzsl search: method {method} has nothing to search: each training chooses its "
                f"settings itself; gzsl train --method {method}"
            )
    if importlib.util.find_spec("optuna") is None:
        raise InputError("gzsl search: optuna is not installed; pip install 'gzsl_dist[search]'")
    from gzsl_dist.planning.shapes import sized_for_data
    from gzsl_dist.sweeps.space import DEFAULT, of_method, read_space

    space = read_space(known.space or DEFAULT)
    if known.print_config:
        print(to_yaml(config), end="")
        return 0
    config = sized_for_data(config)
    bases = {method: of_method(config, method) for method in methods}
    with stop_signal(config.train.stop_signals) as stop:
        from gzsl_dist.distributed.processes import start_processes
        from gzsl_dist.sweeps.search import Search, run_search

        search = Search(bases, space, known.trials)
        timeout = config.train.collective_timeout
        with start_processes(config.train.device, timeout, quiet=known.quiet) as processes:
            try:
                run_search(search, processes, stop)
            except KeyboardInterrupt:
                raise InterruptedRunError("interrupted; the same command resumes") from None
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
