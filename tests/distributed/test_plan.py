"""The dry run's figures against what real processes hold, send and compute, within 10 %."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gzsl_dist.config import Config
from gzsl_dist.config.sizes import DataShape
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.store import write_dataset
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.planning.plan import Plan, make_plan
from gzsl_dist.planning.shapes import opened, shape_of, shape_of_option
from gzsl_dist.planning.table import amount, plan_table, size
from gzsl_dist.planning.tracing import Sent
from gzsl_dist.training import chunks

from ..integration.commands import error_line, run
from . import measure
from .measure import Numbers, configuration
from .spawn import run_processes

METHODS = ("iapc", "ce_gzsl", "wgan")
STRATEGIES = {
    "auto": "ddp",
    "zero0": "ZeRO 0",
    "zero1": "ZeRO 1",
    "zero2": "ZeRO 2",
    "zero3": "ZeRO 3",
}
SHAPE = DataShape(measure.CLASSES, measure.FEATURES, measure.SEMANTICS, measure.ROWS)
TOLERANCE = 0.1
# gloo makes a reduce_scatter of an all_reduce, which sends twice as much as the ring needs.
COLLECTIVES = {
    "_allgather_base_": "all_gather",
    "_reduce_scatter_base_": "reduce_scatter",
    "allreduce_": "all_reduce",
}


def close(measured: float, planned: float, what: object) -> None:
    assert measured == pytest.approx(planned, rel=TOLERANCE), (what, measured, planned)


def measured_steps(processes: DistributedContext) -> dict[str, Numbers]:
    # bfloat16 last; nothing of DeepSpeed before: its ZeRO 3 changes torch's linear for good
    found = {method: measure.measure_step(processes, method) for method in METHODS}
    return found | {"bfloat16": measure.measure_step(processes, "iapc", "bfloat16")}


def measured_strategies(
    processes: DistributedContext, methods: Sequence[str]
) -> dict[str, dict[str, Numbers]]:
    return {
        method: {
            strategy: measure.measure_strategy(processes, method, strategy)
            for strategy in STRATEGIES
        }
        for method in methods
    }


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_activations_blocks_and_flops_are_as_planned(world_size: int) -> None:
    by_rank = run_processes(world_size, measured_steps)
    for name in (*METHODS, "bfloat16"):
        config = configuration(name) if name in METHODS else configuration("iapc", precision=name)
        plan = make_plan(config, SHAPE, world_size)
        most = {key: max(found[name][key] for found in by_rank) for key in by_rank[0][name]}
        close(most.pop("critic activations"), plan.critic.activations, name)
        close(most.pop("generator activations"), plan.generator.activations, name)
        close(most.pop("flops"), plan.step_flops, name)
        assert most == {key: value for key, value in blocks(plan).items() if value}, name


def blocks(plan: Plan) -> Numbers:
    """By the names of `measure.note_blocks`."""
    names = ("prototypes", "critic instances", "generator instances", "comparator")
    return dict(zip(names, plan.blocks.values(), strict=True))


def measured_in_chunks(processes: DistributedContext, chunk: int) -> Numbers:
    chunks.CHUNK = chunk  # this process ends with the measurement
    return measure.measure_step(processes, "iapc")


def test_chunks_are_as_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_plan(configuration("iapc"), SHAPE, 2)
    by_rank = run_processes(2, measured_in_chunks, 5000)
    monkeypatch.setattr(chunks, "CHUNK", 5000)
    plan = make_plan(configuration("iapc"), SHAPE, 2)
    most = {key: max(found[key] for found in by_rank) for key in by_rank[0]}
    close(most["critic activations"], plan.critic.activations, "critic")
    close(most["generator activations"], plan.generator.activations, "generator")
    close(most["flops"], plan.step_flops, "flops")
    assert plan.generator.activations < whole.generator.activations / 1.5  # no block is kept
    for name in ("prototypes", "critic instances", "generator instances"):
        assert 2500 < most[name] / 4 <= blocks(plan)[name] / 4 <= 5000


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_what_strategies_hold_and_send_is_as_planned(world_size: int) -> None:
    """Of every method on two processes; on others of the one with all kinds of losses."""
    pytest.importorskip("deepspeed")
    methods = METHODS if world_size == 2 else METHODS[:1]
    by_rank = run_processes(world_size, measured_strategies, methods)
    for method in methods:
        plan = make_plan(configuration(method), SHAPE, world_size)
        for strategy, name in STRATEGIES.items():
            found = [ranks[method][strategy] for ranks in by_rank]
            most = {key: max(one.get(key, 0) for one in found) for key in found[0]}
            held = plan.held[name]
            for part in ("parameters", "gradients", "optimizer"):
                close(most[part], getattr(held, part), (method, name, part))
            compare_sent(most, plan, name, method)


def compare_sent(most: Numbers, plan: Plan, name: str, method: str) -> None:
    """Every kind of collective, in the critic steps and in the generator step; and the wire."""
    if plan.world_size == 1:
        assert plan.sent_in_step(name) == 0
        return
    planned = {
        "critic": [*plan.critic_sent[name], *plan.critic.gathers * plan.critic_steps],
        "generator": [*plan.generator_sent[name], *plan.generator.gathers],
    }
    wire = 0.0
    for side, sent in planned.items():
        kinds = {
            COLLECTIVES.get(key.removeprefix(f"{side} "), key): value
            for key, value in most.items()
            if key.startswith(f"{side} ")
        }
        whole = sum(part.whole_bytes for part in sent)
        for kind, measured in kinds.items():
            expected = sum(part.whole_bytes for part in sent if part.collective == kind)
            if max(expected, measured) > 0.001 * whole:  # flags and counts of a few bytes
                close(measured, expected, (method, name, side, kind))
        assert {part.collective for part in sent} <= kinds.keys()
        for part in sent:
            twice = 2 if part.collective == "reduce_scatter" else 1
            wire += twice * part.ring_bytes(plan.world_size)
    if most["wire"]:  # where the system counts it
        close(most["wire"], wire, (method, name, "wire"))


def test_ring_bytes_by_hand() -> None:
    assert Sent("", "all_gather", 400).ring_bytes(4) == 300  # three other shares pass through
    assert Sent("", "reduce_scatter", 400).ring_bytes(4) == 300
    assert Sent("", "all_reduce", 400).ring_bytes(4) == 600
    assert Sent("", "all_reduce", 400).ring_bytes(1) == 0


def test_plan_of_one_linear_sum_by_hand() -> None:
    """Critic and generator of wgan at W = 8, from the sizes of their layers."""
    plan = make_plan(configuration("wgan"), SHAPE, 8)
    critic = 512 * (256 + 128 + 1) + 512 + 1
    generator = (64 + 128 + 1) * 512 + (512 + 1) * 256
    assert plan.held["ddp"].parameters == 4 * (critic + generator)
    assert plan.held["ddp"].optimizer == 8 * (critic + generator)
    assert plan.sent_in_step("ddp") == 2 * 7 / 8 * 4 * (3 * critic + generator)
    rows = 24  # of 190, the largest share
    fake = 2 * rows * 512 * (64 + 128 + 256)
    assert plan.traced.fake_flops == fake
    assert plan.rows == rows


def test_operations_of_pairs_by_hand() -> None:
    """Three for each pair and hidden unit: forward, for the rows' gradient, for the classes'."""
    plan = make_plan(configuration("ce_gzsl"), SHAPE, 8)
    pairs = 24 * 90 * 256  # rows of the largest share, classes, hidden units
    assert plan.critic.distance_flops == 9 * pairs
    assert plan.generator.distance_flops == 6 * pairs  # it trains no comparator
    assert plan.step_distance_flops == (3 * 9 + 6) * pairs
    assert make_plan(configuration("wgan"), SHAPE, 8).step_distance_flops == 0


def test_a_figure_that_is_off_by_a_tenth_fails() -> None:
    with pytest.raises(AssertionError):
        close(112, 100, "")
    close(109, 100, "")


def test_sizes_of_a_data_file(tmp_path: Path) -> None:
    file = tmp_path / "dataset.h5"
    write_dataset(file, digits_dataset())
    for path in ("digits", str(file), str(tmp_path)):
        assert shape_of(opened(path)) == DataShape(7, 64, 19, 1006)
    assert shape_of_option("150,2048,1024,7057") == DataShape(150, 2048, 1024, 7057)


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "1,5,5,5", "5,0,5,5", "5,5,5,5,5"])
def test_wrong_shapes_are_named(text: str) -> None:
    with pytest.raises(InputError, match=r"--plan\.shape"):
        shape_of_option(text)


def test_more_processes_than_rows_are_refused() -> None:
    with pytest.raises(InputError, match="larger than train"):
        make_plan(configuration("wgan"), SHAPE, 191)


def test_every_prototype_source_and_float64_can_be_planned() -> None:
    for source in ("learned", "semantic", "ema"):
        values = {"loss": {"prototype": {"source": source}}, "train": {"precision": "float64"}}
        plan = make_plan(Config.model_validate(values), SHAPE, 3)
        assert list(plan.held) == ["ddp"]  # DeepSpeed's optimizers work in float32
        assert plan.critic.activations > 0


@pytest.mark.parametrize("form", ["ridge", "kernel_ridge"])
def test_an_anchor_is_planned(form: str) -> None:
    """Held as buffers of the generator: its terms, and the intercept, for each feature."""
    shape = DataShape(seen_count=9, feature_dim=64, semantic_dim=5, rows=100)
    published = Config.model_validate({"train": {"batch_size": 16}})
    model = published.model.model_copy(update={"anchor": form})
    anchored = published.model_copy(update={"model": model})
    more, less = (make_plan(one, shape, 2) for one in (anchored, published))
    terms, landmarks = (5, 0) if form == "ridge" else (9, 9 * 5)
    buffers = terms * 64 + 64 + landmarks + 1
    assert more.held["ddp"].parameters - less.held["ddp"].parameters == 4 * buffers
    assert more.generator.matrix_flops > less.generator.matrix_flops


def test_table_fits_a_terminal() -> None:
    config = configuration("iapc")
    text = plan_table(config, SHAPE, [make_plan(config, SHAPE, size) for size in (1, 2, 64, 128)])
    assert max(map(len, text.splitlines())) <= 100
    assert [amount(n) for n in (0, 999, 1000, 12345, 1.5e9)] == [
        "0",
        "999",
        "1.00 k",
        "12.3 k",
        "1.50 G",
    ]
    assert size(512) == "512 B"


def test_command_prints_a_plan_and_trains_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = run("train", "--dry-run", "--plan.world-size", "2,128", "--run.dir", folder)
    assert done.returncode == 0, done.stderr
    assert "ZeRO" not in done.stdout  # the digits train in float64
    assert "ddp: gradients, all_reduce" in done.stdout
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dry-run", "--plan.world-size", "129"), "129: larger than train.batch_size 128"),
        (("--dry-run", "--plan.world-size", "8,x"), "'8,x': must be whole numbers"),
        (("--plan.world-size", "8"), "needs --dry-run"),
        (("--dry-run", "--data.path", "absent.h5"), "absent.h5: no such file"),
    ],
)
def test_wrong_options_are_one_line(arguments: tuple[str, ...], message: str) -> None:
    assert message in error_line(run("train", *arguments))
