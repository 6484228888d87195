"""Train, and send one process a signal just before a certain training step; a program for tests.

    stopping.py CALL SIGNAL [the trainer's arguments]

CALL counts the training steps of this start, from 1, those of model selection too; 0 is the fit of
the classifier after them. Of several processes, the last one alone gets the signal.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from gzsl_dist.command import run_command
from gzsl_dist.data.guard import GuardedFeatures
from gzsl_dist.train import main
from gzsl_dist.training.trainer import Trainer


def stop_before(call: int, number: signal.Signals) -> None:
    train_step, calls = Trainer.train_step, 0

    def counted(self: Trainer, step: int) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and int(os.environ.get("RANK", "0")) == last_rank:
            os.kill(os.getpid(), number)
        return train_step(self, step)

    def signalled(self: GuardedFeatures) -> None:
        os.kill(os.getpid(), number)
        end_training(self)

    end_training = GuardedFeatures.end_training
    if call == 0:
        GuardedFeatures.end_training = signalled  # type: ignore[method-assign]
    last_rank = int(os.environ.get("WORLD_SIZE", "1")) - 1
    Trainer.train_step = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    stop_before(int(sys.argv[1]), signal.Signals[sys.argv[2]])
    run_command(main, sys.argv[3:])
