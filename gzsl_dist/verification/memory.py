"""Memory of one step of each side at the configured sizes, against the plan."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gzsl_dist.config.deepspeed_file import deepspeed_options
from gzsl_dist.monitoring.throughput import peak_bytes
from gzsl_dist.verification.check import Check, Session, largest

MORE = 1.25  # of the plan: what allocators and libraries add
LIBRARIES = 512 << 20  # code and buffers of libraries, loaded at the first step
DEFAULT_BUCKET = 500_000_000  # DeepSpeed's, elements


def memory(session: Session) -> Iterator[Check]:
    """How much one critic step and one generator step take, and how long."""
    taken, planned, seconds = measure(session)
    yield Check(
        "memory",
        taken <= MORE * planned + LIBRARIES,
        f"{taken / 2**20:.0f} MiB more than before the first steps, planned {planned / 2**20:.0f}; "
        f"a critic and a generator step took {seconds:.2f} s",
        "give a smaller --train.micro_batch_size, or more processes",
    )


def measure(session: Session) -> tuple[float, int, float]:
    """A critic step and a generator step at the configured sizes; every process must call.

    Returns:
        Bytes that they took, the most of any process; those that `--dry-run` predicts, with the
        data set and ZeRO's buffers; seconds.

    Raises:
        InputError: the strategy cannot work here.
    """
    processes, problem, plan = session.processes, session.problem, session.plan
    before = peak_bytes(processes.device)
    trainer = session.trainer()
    began = time.monotonic()
    trainer.critic_step(0)
    trainer.generator_step(1)
    seconds = largest(processes, time.monotonic() - began)
    taken = largest(processes, float(peak_bytes(processes.device) - before))
    trainer.close()
    planned = plan.held[session.name_in_plan].total + zero_buffers(session)
    planned += 4 * len(problem.train) * problem.feature_dim  # rows are put where they are used
    planned += max(plan.critic.activations, plan.generator.activations)
    return taken, planned, seconds


def zero_buffers(session: Session) -> int:
    """Bytes that ZeRO reduces gradients in, and under ZeRO 3 holds fetched parameters in."""
    if session.name_in_plan not in ("ZeRO 1", "ZeRO 2", "ZeRO 3"):
        return 0
    options = deepspeed_options(session.config.train)[0]["zero_optimization"]
    buffers = 4 * int(float(options.get("reduce_bucket_size", DEFAULT_BUCKET)))
    if session.name_in_plan != "ZeRO 3":
        return buffers
    return 2 * buffers + session.plan.held["ddp"].parameters  # both sides at the same time
