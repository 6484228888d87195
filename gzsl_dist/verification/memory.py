"""Memory of one step of each side at the configured sizes, against the plan."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gzsl_dist.data.problem import final_problem
from gzsl_dist.distributed.strategies import choose_strategy
from gzsl_dist.monitoring.throughput import peak_bytes
from gzsl_dist.planning.plan import make_plan
from gzsl_dist.planning.shapes import DataShape
from gzsl_dist.training.loop import Trainer
from gzsl_dist.verification.check import Check, Session, largest

MORE = 1.25  # of the plan: what allocators and libraries add
LIBRARIES = 512 << 20  # code and buffers of libraries, loaded at the first step


def memory(session: Session) -> Iterator[Check]:
    """How much one critic step and one generator step take, and how long."""
    processes, config = session.processes, session.config
    problem = final_problem(session.dataset, config)
    strategy = processes.together(lambda: choose_strategy(config.train, processes))
    shape = DataShape(
        seen_count=problem.seen_count,
        feature_dim=problem.feature_dim,
        semantic_dim=problem.semantic_dim,
        rows=len(problem.train),
    )
    plan = make_plan(config, shape, processes.world_size)
    name = strategy.name.removeprefix("deepspeed, ")
    before = peak_bytes(processes.device)
    trainer = Trainer(problem, config, processes, strategy)
    data = 4 * len(problem.train) * problem.feature_dim  # rows are put where they are used
    began = time.monotonic()
    trainer.critic_step(0)
    trainer.generator_step(1)
    seconds = largest(processes, time.monotonic() - began)
    taken = largest(processes, float(peak_bytes(processes.device) - before))
    trainer.close()
    planned = plan.held["ddp" if name == "single" else name].total + data
    planned += max(plan.critic.activations, plan.generator.activations)
    holds = taken <= MORE * planned + LIBRARIES
    yield Check(
        "memory",
        holds,
        f"{taken / 2**20:.0f} MiB more than before the first steps, planned {planned / 2**20:.0f}; "
        f"a critic and a generator step took {seconds:.2f} s",
        "" if holds else "give a smaller --train.micro_batch_size, or more processes",
    )
