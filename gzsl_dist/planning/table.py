"""Plans as a table of plain text, at most 100 characters wide."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gzsl_dist.config import Config
from gzsl_dist.planning.plan import Plan
from gzsl_dist.planning.shapes import DataShape

LABEL, COLUMN, COLUMNS = 44, 11, 5
NOTE = """\
Figures of one process, that with the largest share; k, M, G, T are powers of 1000.
sent: bytes that leave a process by ring algorithms, (W-1)/W of the whole tensor for all_gather and
reduce_scatter, 2 (W-1)/W for all_reduce; a critic step is the mean of a step's critic steps.
held: activations are the tensors autograd keeps; temporaries, libraries' work space and the data
set itself are not in the table."""

Row = tuple[str, Callable[[Plan], str]]


def plan_table(config: Config, shape: DataShape, plans: Sequence[Plan]) -> str:
    """The whole text."""
    train = config.train
    lines = [
        f"{config.method}: batch {train.batch_size}, {train.critic_steps} critic steps a step, "
        f"{train.precision}",
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
        lines += ["", _line("processes W", [str(plan.world_size) for plan in some])]
        lines.append("-" * len(lines[-1]))
        for title, rows in sections(plans[0]):
            lines.append(title)
            lines += [_line(f"  {label}", [cell(plan) for plan in some]) for label, cell in rows]
    return "\n".join(lines)


def sections(example: Plan) -> list[tuple[str, list[Row]]]:
    """Titles and rows, for the strategies that the example has."""
    names = example.strategies
    return [
        ("work", _work(names)),
        ("held: parameters, gradients, optimizer", [r for name in names for r in _held(name)]),
        ("held: activations", _activations()),
        ("largest similarity block", _blocks()),
        ("sent in a critic step", [*_gathers("critic"), *_totals(names, whole=False)]),
        ("sent in a whole step", [*_gathers(""), *_totals(names, whole=True)]),
    ]


def _work(names: list[str]) -> list[Row]:
    return [
        ("rows of the batch", lambda p: str(p.rows)),
        ("critic step: matrix FLOPs", lambda p: amount(p.critic_step_flops)),
        ("whole step: matrix FLOPs", lambda p: amount(p.step_flops)),
        ("whole step: operations of pairs", lambda p: amount(p.step_distance_flops)),
        (
            "matrix FLOPs a byte sent, ddp",
            lambda p: amount(p.step_flops / p.sent_in_step("ddp")) if p.world_size > 1 else "-",
        ),
    ]


def _held(name: str) -> list[Row]:
    rows: list[Row] = [
        (f"{name}: parameters", lambda p: size(p.held[name].parameters)),
        ("  gradients", lambda p: size(p.held[name].gradients)),
        ("  optimizer states", lambda p: size(p.held[name].optimizer)),
    ]
    if name in ("ZeRO 1", "ZeRO 2", "ZeRO 3"):
        rows.append(("  reduction buffers", lambda p: size(p.held[name].bucket)))
    if name == "ZeRO 3":
        rows.append(("  parameters fetched, at most", lambda p: size(p.held[name].fetched)))
    return rows


def _activations() -> list[Row]:
    return [
        ("critic step", lambda p: size(p.critic.activations)),
        ("generator step", lambda p: size(p.generator.activations)),
        ("peak", lambda p: size(max(p.critic.activations, p.generator.activations))),
    ]


def _blocks() -> list[Row]:
    return [
        ("prototypes, C/W x B", lambda p: size(p.blocks.prototypes)),
        ("instances, critic, B/W x B", lambda p: size(p.blocks.critic_instances)),
        ("instances, generator, 2B/W x 2B", lambda p: size(p.blocks.generator_instances)),
        ("comparator, B/W x C", lambda p: size(p.blocks.comparator)),
    ]


def _gathers(side: str) -> list[Row]:
    def cell(purpose: str) -> Callable[[Plan], str]:
        def show(plan: Plan) -> str:
            critic = plan.ring(plan.critic.gathers, purpose)
            if side:
                return size(critic)
            return size(plan.critic_steps * critic + plan.ring(plan.generator.gathers, purpose))

        return show

    return [
        ("embeddings u: all_gather", cell("embeddings all_gather")),
        ("their gradients: reduce_scatter", cell("embeddings reduce_scatter")),
        ("labels: all_gather", cell("labels")),
    ]


def _totals(names: list[str], *, whole: bool) -> list[Row]:
    def own(name: str, purpose: str) -> Callable[[Plan], str]:
        def show(plan: Plan) -> str:
            critic = plan.ring(plan.critic_sent[name], purpose)
            if not whole:
                return size(critic / plan.critic_steps)
            return size(critic + plan.ring(plan.generator_sent[name], purpose))

        return show

    def total(name: str) -> Callable[[Plan], str]:
        def show(plan: Plan) -> str:
            return size(plan.sent_in_step(name) if whole else plan.sent_in_critic_step(name))

        return show

    rows: list[Row] = []
    for name in names:
        collective = "reduce_scatter" if name == "ZeRO 3" else "all_reduce"
        rows.append((f"{name}: gradients, {collective}", own(name, "gradients")))
        if name in ("ZeRO 1", "ZeRO 2", "ZeRO 3"):
            rows.append(("  weights, all_gather", own(name, "weights")))
        rows.append(("  with the above, in all", total(name)))
    return rows


def _line(label: str, cells: Sequence[str]) -> str:
    return f"{label:<{LABEL}}" + "".join(f"{cell:>{COLUMN}}" for cell in cells)


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
