"""Whole steps under every strategy, and going on from another strategy's checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gzsl_dist.config import TrainSettings
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import Engine, OptimizerState
from gzsl_dist.errors import InputError

from .spawn import run_processes

ROOT = Path(__file__).parents[2]
STRATEGIES = ("auto", "zero0", "zero1", "zero2", "zero3")
ROWS, STEPS = 8, 4
Saved = tuple[dict[str, Tensor], OptimizerState]


class Regression(nn.Module):
    """An objective whose parts add up; odd sizes, so that no partition of it is even."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1))

    def forward(self, rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss = (self.layers(rows) - rows.sum(dim=1, keepdim=True)).square().sum() / ROWS
        return loss, {"total": loss.detach()}


def settings(strategy: str) -> TrainSettings:
    values: dict[str, Any] = {"learning_rate": 0.05}
    if strategy != "auto":
        file = ROOT / "configs" / "deepspeed" / f"{strategy}.yaml"
        values |= {"strategy": "deepspeed", "deepspeed_config": str(file)}
    return TrainSettings.model_validate(values)


def rows_of(step: int) -> Tensor:
    return torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(step))


def advance(
    processes: DistributedContext, strategy: str, first: int, last: int, saved: Saved | None = None
) -> Saved:
    """Train steps `first` to `last - 1`, from a saved state if given; what was reached, whole."""
    objective = Regression()
    if saved is not None:
        objective.load_state_dict(saved[0])
    side: Engine = choose_strategy(settings(strategy), processes).wrap(
        objective, settings(strategy)
    )
    if saved is not None:
        side.load_state_dict(saved[1])
    for step in range(first, last):
        side.step(rows_of(step)[processes.shard(ROWS)])
    weights = {name: value.detach().clone() for name, value in side.weights().items()}
    return weights, side.state_dict()


def all_strategies(processes: DistributedContext, saved: Saved) -> dict[str, list[Saved]]:
    """By strategy: all steps at once; and the last half, from another strategy's state."""
    return {
        strategy: [
            advance(processes, strategy, 0, STEPS),
            advance(processes, strategy, 0, STEPS // 2),
            advance(processes, strategy, STEPS // 2, STEPS, saved),
        ]
        for strategy in STRATEGIES
    }


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_every_strategy_trains_and_resumes_as_plain_adam(world_size: int) -> None:
    pytest.importorskip("deepspeed")
    half, whole = plain_adam(STEPS // 2), plain_adam(STEPS)
    for by_strategy in run_processes(world_size, all_strategies, half):
        for strategy in STRATEGIES:
            at_once, at_half, resumed = by_strategy[strategy]
            close(at_once, whole, strategy)
            close(at_half, half, strategy)
            close(resumed, whole, f"{strategy}, resumed")


def plain_adam(steps: int) -> Saved:
    """The same without any strategy."""
    objective = Regression()
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.05, betas=(0.5, 0.999))
    for step in range(steps):
        optimizer.zero_grad()
        objective(rows_of(step))[0].backward()
        optimizer.step()
    state = {name: optimizer.state[value] for name, value in objective.named_parameters()}
    return {name: value.detach() for name, value in objective.named_parameters()}, state


def close(ours: Saved, theirs: Saved, name: str) -> None:
    for key, value in theirs[0].items():
        torch.testing.assert_close(ours[0][key], value, rtol=1e-5, atol=1e-6, msg=f"{name} {key}")
    for key, moments in theirs[1].items():
        for moment, value in moments.items():
            torch.testing.assert_close(
                ours[1][key][moment], value, rtol=1e-5, atol=1e-6, msg=f"{name} {key} {moment}"
            )


ALONE = DistributedContext(0, 1, torch.device("cpu"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zero_optimization: {stage: 4}", "ZeRO stage 4: must be 0, 1, 2 or 3"),
        (
            "zero_optimization: {stage: 1, stagee: 2}",
            r"unknown key zero_optimization\.stagee; drop it$",
        ),
        (
            "zero_optimization: {stage: 3, stage3_prefetch_bucket_size: -1}",
            r"zero_optimization\.stage3_prefetch_bucket_size = -1: Input should be greater",
        ),
        ("optimizer: {type: SGD}", "unknown key optimizer; allowed are"),
        ("gradient_clipping: 1.0", "unknown key gradient_clipping"),
        ("zero_optimization: 2", "must hold lines"),
        ("[1", "not YAML"),
    ],
)
def test_a_wrong_deepspeed_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    pytest.importorskip("deepspeed")
    file = tmp_path / "zero.yaml"
    file.write_text(text)
    chosen = TrainSettings(strategy="deepspeed", deepspeed_config=str(file))
    with pytest.raises(InputError, match=message) as caught:
        choose_strategy(chosen, ALONE)
    assert "\n" not in str(caught.value)
    assert "zero.yaml" in str(caught.value)


def test_float64_is_refused_under_deepspeed() -> None:
    pytest.importorskip("deepspeed")
    chosen = TrainSettings(strategy="deepspeed", precision="float64")
    with pytest.raises(InputError, match="float64: DeepSpeed's optimizers work in float32"):
        choose_strategy(chosen, ALONE)


def test_without_deepspeed_the_error_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "deepspeed", None)
    with pytest.raises(InputError, match=r"pip install 'gzsl_dist\[deepspeed\]'"):
        choose_strategy(TrainSettings(strategy="deepspeed"), ALONE)


def test_strategies_that_do_not_fit_the_number_of_processes() -> None:
    with pytest.raises(InputError, match="single cannot use 2 processes"):
        choose_strategy(
            TrainSettings(strategy="single"), DistributedContext(0, 2, torch.device("cpu"))
        )
    with pytest.raises(InputError, match="batch_size 3: smaller than the 4 processes"):
        choose_strategy(TrainSettings(batch_size=3), DistributedContext(0, 4, torch.device("cpu")))
    with pytest.raises(InputError, match="ddp needs processes"):
        choose_strategy(TrainSettings(strategy="ddp"), ALONE)
