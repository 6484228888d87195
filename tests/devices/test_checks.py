"""The simulated GPU refuses what a GPU refuses, so the runs on it mean something.

`tests.gpu` runs the same functions on a real one, without the simulation around them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gzsl_dist.config import Config
from gzsl_dist.data import memory
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import Problem, selection_problem
from gzsl_dist.distributed import strategies
from gzsl_dist.distributed.checkpoint import Checkpoint
from gzsl_dist.distributed.deepspeed_strategy import DeepSpeedTrainable
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import MOMENTS, STEP, LocalStrategy
from gzsl_dist.evaluation import score, synthetic
from gzsl_dist.monitoring import diagnostics
from gzsl_dist.training.trainer import Trainer
from tests.sizes import SMALL_NETWORKS

from .simulated import CUDA, simulated_cuda

CONFIG = Config.model_validate(
    {"model": SMALL_NETWORKS, "train": {"batch_size": 16, "critic_steps": 1}}
)


@pytest.fixture(autouse=True)
def _gpu() -> Iterator[None]:
    with simulated_cuda():
        yield


@pytest.fixture
def problem() -> Problem:
    return selection_problem(digits_dataset(), CONFIG)


def trainer(problem: Problem, found: Any = None) -> Trainer:
    return Trainer(problem, CONFIG, DistributedContext(0, 1, CUDA), LocalStrategy(), found)


def resumed(problem: Problem) -> Trainer:
    """A trainer that goes on after one step, its state in host memory as a file's is."""
    first = trainer(problem)
    first.train_step(0)
    state = first.state(1)
    networks = {name: value.cpu() for name, value in state.networks.items()}
    optimizers = {
        side: {
            name: {key: value.cpu() for key, value in values.items()}
            for name, values in parameters.items()
        }
        for side, parameters in state.optimizers.items()
    }
    saved = type(state)(1, networks, optimizers)
    return trainer(problem, (Checkpoint(None, 1), saved))  # type: ignore[arg-type]


def adam_state_before(saved: dict[str, Tensor], parameter: Tensor) -> dict[str, Tensor]:
    moments = {key: saved[key].to(parameter, copy=True) for key in MOMENTS}
    return {STEP: saved[STEP].clone(), **moments}


def test_a_resumed_optimizer_steps(problem: Problem) -> None:
    resumed(problem).train_step(1)


def test_an_optimizer_with_its_step_in_host_memory_is_caught(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strategies, "adam_state", adam_state_before)
    with pytest.raises(RuntimeError, match="same device"):
        resumed(problem).train_step(1)


def engine(stage: int, parameter: nn.Parameter) -> DeepSpeedTrainable:
    """What of DeepSpeed's engine `load_state_dict` touches, around torch's fused Adam."""
    side = object.__new__(DeepSpeedTrainable)
    adam = torch.optim.Adam([parameter], fused=True)
    side.stage, side.parameters, side.world_size = stage, {"weight": parameter}, 1
    side.optimizer = adam
    if stage:
        side.optimizer = type("Zero", (), {})()
        side.optimizer.optimizer = adam
        side.optimizer.fp32_partitioned_groups_flat = [parameter]
        side.optimizer._lazy_init_hp_params_optimizer_state = lambda: None
    return side


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_deepspeed_puts_the_step_beside_the_parameter(
    stage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeepSpeedTrainable, "_fill", lambda *_: None)
    parameter = nn.Parameter(torch.ones(3, device="cuda"))
    parameter.grad = torch.ones(3, device="cuda")
    saved = {STEP: torch.tensor(4.0), **{key: torch.ones(3) for key in MOMENTS}}
    side = engine(stage, parameter)
    side.load_state_dict({"weight": saved})
    adam = side._adam if stage else side.optimizer
    adam.step()
    assert adam.state[parameter][STEP].item() == 5


def test_the_first_look_of_a_method_with_an_embedding(problem: Problem) -> None:
    found = diagnostics.diagnose(trainer(problem).networks, problem, 0, 0.25, unseen=True)
    everything = [
        *found.histograms.values(),
        *(part for pair in found.embeddings.values() for part in pair),
    ]
    assert all(tensor.device.type == "cpu" for tensor in everything)
    diagnostics.plane(torch.ones(5, 4, device="cuda"))


def test_a_look_that_hands_the_gpus_memory_to_numpy_is_caught() -> None:
    embedded = torch.ones(5, 4, device="cuda")
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        (embedded @ embedded.T[:, :2]).numpy()
    with pytest.raises(TypeError, match="can't convert cuda:0"):
        np.asarray(embedded)
    assert np.asarray(embedded.cpu()).sum() == 20


REFUSED = {
    "addition": lambda device, host: device + host,
    "product": lambda device, host: device @ host.T,
    "in place": lambda device, host: device.add_(host),
    "concatenation": lambda device, host: torch.cat([device, host]),
    "stack of numbers": lambda device, host: torch.stack([device[0, 0], host[0, 0]]),
    "rows of host memory by numbers of the GPU": lambda device, host: host[device[:1, 0].long()],
    "values into the GPU": lambda device, host: device.index_put_((device[:, 0].long(),), host),
    "gradient": lambda device, host: (device.requires_grad_() * device).backward(host),
}


@pytest.mark.parametrize("name", REFUSED)
def test_mixed_devices_are_refused(name: str) -> None:
    device, host = torch.zeros(2, 2, device="cuda"), torch.ones(2, 2)
    with pytest.raises(RuntimeError, match="device"):
        REFUSED[name](device, host)


def test_what_cuda_allows_is_allowed() -> None:
    device, number = torch.zeros(2, 2, device="cuda"), torch.tensor(3.0)
    assert (device + number).device == CUDA
    assert device[torch.tensor([0])].device == CUDA
    assert device[torch.tensor([True, False])].tolist() == [[0.0, 0.0]]
    device.copy_(torch.ones(2, 2))
    assert device.sum().item() == 4
    assert device.masked_fill(device > 0, torch.tensor(2.0)).cpu().sum() == 8
    assert torch.zeros_like(device).device == device.new_zeros(1).device == CUDA
    assert torch.arange(3, device="cuda").device == torch.ones(1).to(device).device == CUDA
    assert torch.ones(1).device.type == "cpu"


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return 2 * values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradients[0].numpy()
        return 2 * gradients[0]


def test_backward_passes_are_checked_as_well() -> None:
    loss = Doubled.apply(torch.ones(3, device="cuda", requires_grad=True)).sum()
    with pytest.raises(TypeError, match="can't convert cuda:0"):
        loss.backward()


def test_rows_that_a_gpu_has_no_room_for_stay_in_host_memory(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = trainer(problem)
    monkeypatch.setattr(memory, "free_device_bytes", lambda device: 1000)
    drawn = trainer(problem)
    assert held.batches.features.device == CUDA
    assert drawn.batches.features.device.type == "cpu"
    for one, other in ((held.draw(0), drawn.draw(0)), (held.draw(7), drawn.draw(7))):
        for name in ("features", "labels", "noise", "mix"):
            assert getattr(one, name).device == getattr(other, name).device == CUDA
            assert torch.equal(getattr(one, name), getattr(other, name))
    drawn.train_step(0)


def test_rows_of_the_classifier_are_counted_at_their_own_width_on_the_gpu(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, str]] = []

    def counted(size: int, device: torch.device | None = None) -> bool:
        asked.append((size, "cpu" if device is None else device.type))
        return True

    monkeypatch.setattr(score, "fits_in_memory", counted)
    monkeypatch.setattr(synthetic, "fits_in_memory", counted)
    networks, processes = trainer(problem).networks, DistributedContext(0, 1, CUDA)
    score.fit_classifier(networks, problem, CONFIG, processes)
    unseen = len(problem.classes) - problem.seen_count
    width, hidden = problem.feature_dim, SMALL_NETWORKS["embedding_dim"]
    rows = unseen * CONFIG.evaluation.rows_per_class
    made, real = rows * 4 * (width + hidden), len(problem.train) * 4 * hidden
    assert asked == [(made, "cuda"), (real, "cuda")]
