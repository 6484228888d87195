"""Wait for a process that works, or for one that is gone; a program for tests.

    waiting.py CASE TIMEOUT

Prints what all processes are given after a wait that is three time-outs long.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from gzsl_dist.command import run_command
from gzsl_dist.distributed.processes import DistributedContext, start_processes


def main(arguments: list[str]) -> int:
    case, timeout = arguments[0], int(arguments[1])
    with start_processes("cpu", timeout) as processes:
        processes.run_on_rank0(lambda: None)
        if processes.rank == 1 and case == "stops":
            kill = f"sleep {6 * timeout}; kill -9 {os.getpid()}"
            subprocess.Popen(
                ["sh", "-c", kill], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            os.kill(os.getpid(), signal.SIGSTOP)
        if processes.rank == 1 and case == "dies":
            os._exit(9)
        print(work(processes, case, 3 * timeout if "works" in case else 0), flush=True)
    return 0


def work(processes: DistributedContext, case: str, seconds: float) -> str:
    def act() -> str:
        slow = 1 if case == "the other works" else 0
        time.sleep(seconds if processes.rank == slow else 0)
        return "done"

    return (
        processes.run_on_all_ranks(act)
        if case == "the other works"
        else processes.run_on_rank0(act)
    )


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
