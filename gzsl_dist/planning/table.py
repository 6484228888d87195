"""Plans as a table of plain text, at most 100 characters wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gzsl_dist.config import Config
from gzsl_dist.config.sizes import DataShape, told_size
from gzsl_dist.planning.plan import Plan

LABEL, COLUMN, COLUMNS = 44, 11, 5
NOTE = """\
Figures of one process, that with the largest share; k, M, G, T are powers of 1000.
sent: bytes that leave a process by ring algorithms, (W-1)/W of the whole tensor for all_gather and
reduce_scatter, 2 (W-1)/W for all_reduce; a critic step is the mean of a step's critic steps.
held: activations are the tensors autograd keeps; temporaries, what DeepSpeed buffers and fetches,
libraries' work space and the data set itself are not in the table."""


def plan_table(config: Config, shape: DataShape, plans: Sequence[Plan]) -> str:
    """The whole text."""
    train = config.train
    lines = [
        f"{config.method}{told_size(config)}: batch {train.batch_size}, "
        f"{train.critic_steps} critic steps a step, {train.precision}",
        f"{shape.seen_count} seen classes, d_x {shape.feature_dim}, d_a {shape.semantic_dim}, "
        f"{shape.rows} training rows",
        NOTE,
    ]
    if train.micro_batch_size is not None:
        lines.append(
            f"Planned without train.micro_batch_size {train.micro_batch_size}, which keeps the "
            "activations\nand blocks of so many rows only and runs each forward pass twice."
        )
    for first in range(0, len(plans), COLUMNS):
        some = plans[first : first + COLUMNS]
        header = _line("processes W", [str(plan.world_size) for plan in some])
        lines += ["", header, "-" * len(header)]
        for cells in zip(*map(_cells, some), strict=True):
            lines.append(_line(cells[0][0], [value for _, value in cells]).rstrip())
    return "\n".join(lines)


def _line(label: str, cells: Sequence[str]) -> str:
    return f"{label:<{LABEL}}" + "".join(f"{cell:>{COLUMN}}" for cell in cells)


def _cells(plan: Plan) -> Iterator[tuple[str, str]]:
    """A plan's column: labels, which are the same for all plans, and figures; titles have none."""
    yield "work", ""
    yield "  rows of the batch", str(plan.rows)
    yield "  critic step: matrix FLOPs", amount(plan.critic_step_flops)
    yield "  whole step: matrix FLOPs", amount(plan.step_flops)
    yield "  whole step: operations of pairs", amount(plan.step_distance_flops)
    a_byte = amount(plan.step_flops / plan.sent_in_step("ddp")) if plan.world_size > 1 else "-"
    yield "  matrix FLOPs a byte sent, ddp", a_byte
    yield "held: parameters, gradients, optimizer", ""
    for name, held in plan.held.items():
        yield f"  {name}: parameters", size(held.parameters)
        yield "    gradients", size(held.gradients)
        yield "    optimizer states", size(held.optimizer)
    yield "held: activations", ""
    activations = plan.critic.activations, plan.generator.activations
    yield "  critic step", size(activations[0])
    yield "  generator step", size(activations[1])
    yield "  peak", size(max(activations))
    yield "largest similarity block", ""
    for name, block in plan.blocks.items():
        yield f"  {name}", size(block)
    yield "sent in a critic step", ""
    yield from _sent(plan, whole=False)
    yield "sent in a whole step", ""
    yield from _sent(plan, whole=True)


def _sent(plan: Plan, *, whole: bool) -> Iterator[tuple[str, str]]:
    gathers = plan.critic.gathers
    if whole:
        gathers = plan.critic_steps * gathers + plan.generator.gathers
    for label, purpose, collective in (
        ("embeddings u", "embeddings", "all_gather"),
        ("their gradients", "embeddings", "reduce_scatter"),
        ("labels", "labels", "all_gather"),
    ):
        some = [part for part in gathers if part.collective == collective]
        yield f"  {label}: {collective}", size(plan.ring(some, purpose))
    for name in plan.held:
        sent = plan.critic_sent[name] + (plan.generator_sent[name] if whole else [])
        steps = 1 if whole else plan.critic_steps
        collective = "reduce_scatter" if name == "ZeRO 3" else "all_reduce"
        yield f"  {name}: gradients, {collective}", size(plan.ring(sent, "gradients") / steps)
        if name in ("ZeRO 1", "ZeRO 2", "ZeRO 3"):
            yield "    weights, all_gather", size(plan.ring(sent, "weights") / steps)
        total = plan.sent_in_step(name) if whole else plan.sent_in_critic_step(name)
        yield "    with the above, in all", size(total)


def size(count: float) -> str:
    """Bytes for people, such as ``33.6 MB``."""
    text = amount(count)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def amount(count: float) -> str:
    """A number for people, with three digits and a power of 1000."""
    for unit in ("", "k", "M", "G", "T", "P"):
        if abs(count) < 999.5 or unit == "P":
            break
        count /= 1000
    digits = 0 if unit == "" and float(count).is_integer() else max(0, 3 - len(str(int(count))))
    return f"{count:.{digits}f} {unit}".rstrip()
