"""Checkpoints: what was saved comes back, damage is named, and no code in them runs."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from gzsl_dist.config import TrainSettings
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import LocalEngine
from gzsl_dist.errors import InputError

MADE_FOR = {"data set": "print", "model.noise_dim": 4}
ALONE = DistributedContext(0, 1, torch.device("cpu"))


class Squares(nn.Module):
    """An objective with something to optimize."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss = self.layer(x).square().sum()
        return loss, {"total": loss.detach()}


def trained(steps: int) -> tuple[Squares, LocalEngine]:
    torch.manual_seed(0)
    objective = Squares()
    side = LocalEngine(objective, TrainSettings())
    for step in range(steps):
        side.step(torch.full((4, 3), float(step)))
    return objective, side


def save(folder: Path, step: int, keep: int = 2) -> None:
    objective, side = trained(step)
    state = checkpoint.SavedState(step, objective.state_dict(), {"side": side.state_dict()})
    checkpoint.save(folder, state, MADE_FOR, ALONE, keep)


def load(
    folder: Path, objective: nn.Module, compatibility: dict[str, object] = MADE_FOR
) -> checkpoint.SavedState:
    (found,) = checkpoint.checkpoints(folder)
    state = checkpoint.load(found, compatibility)
    checkpoint.restore(found, state, objective)
    return state


def test_a_restored_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    save(tmp_path, 3)
    objective, side = trained(0)
    state = load(tmp_path, objective)
    assert state.step == 3
    side.load_state_dict(state.optimizers["side"])
    side.step(torch.full((4, 3), 3.0))
    expected, _ = trained(4)
    assert torch.equal(objective.layer.weight, expected.layer.weight)
    assert torch.equal(objective.layer.bias, expected.layer.bias)


def test_the_newest_are_kept_and_nothing_partial_is_listed(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        save(tmp_path, step)
    (tmp_path / ".writing-step-00000011").mkdir()
    (tmp_path / "step-x").mkdir()
    assert [found.step for found in checkpoint.checkpoints(tmp_path)] == [2, 10]
    assert checkpoint.checkpoints(tmp_path / "missing") == []


@pytest.mark.parametrize(("name", "value"), [("data set", "other"), ("model.noise_dim", 8)])
def test_what_differs_is_named_with_both_values(tmp_path: Path, name: str, value: object) -> None:
    save(tmp_path, 1)
    with pytest.raises(InputError, match=f"made with {name} = {MADE_FOR[name]}, .* has {value}"):
        load(tmp_path, Squares(), MADE_FOR | {name: value})


def test_the_best_by_validation_is_kept_beside_the_newest(tmp_path: Path) -> None:
    objective, side = trained(1)
    for step, h in ((1, 0.2), (2, 0.6), (3, 0.6), (4, None), (5, 0.1), (6, None)):
        state = checkpoint.SavedState(step, objective.state_dict(), {"side": side.state_dict()}, h)
        checkpoint.save(tmp_path, state, MADE_FOR, ALONE, 2)
    found = checkpoint.checkpoints(tmp_path)
    assert [one.step for one in found] == [2, 5, 6]
    best = checkpoint.best_by_validation(found)
    assert best is not None
    assert checkpoint.load(best, MADE_FOR).validation_h == 0.6


def test_what_was_just_written_stays_though_damaged_ones_have_higher_numbers(
    tmp_path: Path,
) -> None:
    for step in (1, 5, 6):
        save(tmp_path, step, keep=3)
    for step in (5, 6):
        flip_a_bit(tmp_path / f"step-{step:08d}" / checkpoint.NETWORKS)
    for step in (2, 3, 4):
        save(tmp_path, step)
        found = checkpoint.latest_valid(
            checkpoint.checkpoints(tmp_path), MADE_FOR, lambda text: pytest.fail(text)
        )
        assert found is not None
        assert found[0].step == step
    assert [found.step for found in checkpoint.checkpoints(tmp_path)] == [3, 4]
    aside = sorted(path.name for path in tmp_path.glob("later-*"))
    assert aside == ["later-step-00000005", "later-step-00000006"]
    save(tmp_path, 5)
    assert [found.step for found in checkpoint.checkpoints(tmp_path)] == [4, 5]


def test_an_unwritable_folder_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot be written .*choose another --run\.dir"):
        checkpoint.prepare(tmp_path / "checkpoints", ALONE)


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    save(tmp_path, 3)
    (tmp_path / ".writing-step-00000004").mkdir()
    (tmp_path / ".writing-step-00000004" / "networks.safetensors").write_text("half")
    checkpoint.prepare(tmp_path, ALONE)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_all_is_on_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut may lose what was not synced, never leave a damaged checkpoint by its name."""
    done: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def note_fsync(handle: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def note_rename(self: Path, target: Path) -> Path:
        done.append(f"{self.name} -> {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_rename)
    save(tmp_path, 1)
    partial = f"{checkpoint.PARTIAL}step-00000001"
    files = {checkpoint.NETWORKS, checkpoint.OPTIMIZERS, checkpoint.STATE}
    assert set(done[:3]) == files
    assert done[3:] == [partial, f"{partial} -> step-00000001", tmp_path.name]


def test_another_format_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = tmp_path / "step-00000001" / checkpoint.STATE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 9}))
    with pytest.raises(InputError, match="format version 9"):
        load(tmp_path, Squares())


@pytest.mark.parametrize("name", [checkpoint.NETWORKS, checkpoint.OPTIMIZERS, checkpoint.STATE])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_truncated_file_is_named(tmp_path: Path, name: str, share: float) -> None:
    save(tmp_path, 1)
    path = tmp_path / "step-00000001" / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"step-00000001: damaged") as caught:
        load(tmp_path, Squares())
    assert "\n" not in str(caught.value)


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    save(tmp_path, 1)
    other = Squares()
    other.layer = nn.Linear(5, 2)
    with pytest.raises(InputError, match="made for other networks"):
        load(tmp_path, other)


class Attack:
    """Pickles to a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    save(tmp_path, 1)
    proof = tmp_path / "attacked"
    pickle.loads(pickle.dumps(Attack(proof)))
    assert proof.exists(), "the attack itself works"
    proof.unlink()
    for name in (checkpoint.NETWORKS, checkpoint.OPTIMIZERS, checkpoint.STATE):
        path = tmp_path / "step-00000001" / name
        before = path.read_bytes()
        torch.save({"side": Attack(proof)}, path)
        with pytest.raises(InputError, match="damaged"):
            load(tmp_path, Squares())
        path.write_bytes(before)
    assert not proof.exists()
    load(tmp_path, Squares())


def test_a_folder_that_cannot_be_written() -> None:
    with pytest.raises(InputError, match=r"/proc/gzsl.*cannot be written"):
        save(Path("/proc/gzsl"), 1)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("name", [checkpoint.NETWORKS, checkpoint.OPTIMIZERS])
def test_of_a_damaged_newest_the_one_before_is_used(tmp_path: Path, name: str) -> None:
    for step in (1, 2):
        save(tmp_path, step)
    warnings: list[str] = []
    found = checkpoint.latest_valid(checkpoint.checkpoints(tmp_path), MADE_FOR, warnings.append)
    assert found is not None
    assert (found[0].step, warnings) == (2, [])
    flip_a_bit(tmp_path / "step-00000002" / name)
    found = checkpoint.latest_valid(checkpoint.checkpoints(tmp_path), MADE_FOR, warnings.append)
    assert found is not None
    assert found[0].step == 1
    assert len(warnings) == 1
    assert "step-00000002: damaged" in warnings[0]
    assert "using the one before" in warnings[0]
    flip_a_bit(tmp_path / "step-00000001" / name)
    with pytest.raises(checkpoint.DamagedError, match=r"step-00000001: .*--train\.resume never"):
        checkpoint.latest_valid(checkpoint.checkpoints(tmp_path), MADE_FOR, warnings.append)
    assert checkpoint.latest_valid([], MADE_FOR, warnings.append) is None
