"""Many runs from one YAML file: ``python -m gzsl_dist.sweep COMMAND SWEEP.yaml``.

plan     what would run, and what would be refused; also `run --dry-run`
run      run it here, --jobs at a time; tasks that are done are skipped
status   which tasks are done, running, failed, missing
collect  mean and 95 % interval over seeds; --out FILE.csv, .md, .json, .png or .html
task     the run directory and the trainer's arguments of task NUMBER, one a line
count    how many tasks there are
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from gzsl_dist.command import CommandParser, positive_integer, run_command
from gzsl_dist.errors import InputError

COMMANDS = ("plan", "run", "status", "collect", "task", "count")


def main(arguments: list[str]) -> int:
    """Do what the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.sweep", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("sweep", type=Path, metavar="SWEEP.yaml")
    parser.add_argument("number", type=int, nargs="?", metavar="NUMBER", help="of task, from 0")
    parser.add_argument(
        "--jobs", type=positive_integer, default=None, metavar="N", help="at a time, with run [1]"
    )
    parser.add_argument("--dry-run", action="store_true", help="with run: plan alone")
    parser.add_argument(
        "--out", type=Path, action="append", metavar="FILE", help="with collect; may be repeated"
    )
    options = parser.parse_args(arguments)
    for name, command in (("number", "task"), ("jobs", "run"), ("out", "collect")):
        if getattr(options, name) is not None and options.command != command:
            raise InputError(f"{name} goes with {command}, not with {options.command}")
    if options.dry_run and options.command not in ("run", "plan"):
        raise InputError(f"--dry-run goes with run, not with {options.command}")

    from gzsl_dist.config.files import check_start
    from gzsl_dist.sweeps.plan import read_sweep
    from gzsl_dist.sweeps.status import print_status, status_of

    tasks = read_sweep(options.sweep)
    if options.command == "plan" or options.dry_run:
        for task in tasks:
            print(f"{task.index:4d}  {task.directory}  {shlex.join(task.arguments)}")
        last = len(tasks) - 1
        print(f"{len(tasks)} tasks; sbatch --array=0-{last} cluster/sweep.sbatch {options.sweep}")
        for task in tasks:
            if status_of(task).state not in ("done", "running"):  # those are skipped
                check_start(task.directory, task.config)
    elif options.command == "count":
        print(len(tasks))
    elif options.command == "task":
        if options.number is None or not 0 <= options.number < len(tasks):
            raise InputError(
                f"sweep file {options.sweep}: task {options.number}: there are 0 to "
                f"{len(tasks) - 1}; give one after the file's name"
            )
        task = tasks[options.number]
        print("\n".join([str(task.directory), *task.arguments]))
    elif options.command == "run":
        from gzsl_dist.sweeps.run import LocalRunner

        LocalRunner(tasks, options.jobs or 1).run()
    elif options.command == "status":
        print_status([status_of(task) for task in tasks])
    else:
        from gzsl_dist.results.forms import report_sweep

        report_sweep(tasks, options.sweep, options.out or [])
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
