"""Memory of one step of each side at the configured sizes, against the plan."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from gzsl_dist.monitoring.throughput import peak_bytes
from gzsl_dist.training.trainer import Trainer
from gzsl_dist.verification.check import Check, Session, largest

MORE = 1.25  # of the plan: what allocators and libraries add
LIBRARIES = 512 << 20  # code and buffers of libraries, loaded at the first step


@dataclass(frozen=True)
class Measured:
    """What a critic step and a generator step took, the most of any process.

    Attributes:
        taken: bytes more than before them.
        planned: bytes that `--dry-run` predicts, with the data set.
        seconds: of both steps.
    """

    taken: float
    planned: int
    seconds: float


def memory(session: Session) -> Iterator[Check]:
    """How much one critic step and one generator step take, and how long."""
    found = measure(session)
    holds = found.taken <= MORE * found.planned + LIBRARIES
    yield Check(
        "memory",
        holds,
        f"{found.taken / 2**20:.0f} MiB more than before the first steps, planned "
        f"{found.planned / 2**20:.0f}; a critic and a generator step took {found.seconds:.2f} s",
        "" if holds else "give a smaller --train.micro_batch_size, or more processes",
    )


def measure(session: Session) -> Measured:
    """A critic step and a generator step at the configured sizes; every process must call.

    Raises:
        InputError: the strategy cannot work here.
    """
    processes, problem, plan = session.processes, session.problem, session.plan
    before = peak_bytes(processes.device)
    trainer = Trainer(problem, session.config, processes, session.strategy)
    data = 4 * len(problem.train) * problem.feature_dim  # rows are put where they are used
    began = time.monotonic()
    trainer.critic_step(0)
    trainer.generator_step(1)
    seconds = largest(processes, time.monotonic() - began)
    taken = largest(processes, float(peak_bytes(processes.device) - before))
    trainer.close()
    planned = plan.held[session.name_in_plan].total + data
    planned += max(plan.critic.activations, plan.generator.activations)
    return Measured(taken, planned, seconds)
