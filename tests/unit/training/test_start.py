"""What a run refuses before it trains at all."""

from __future__ import annotations

import errno
import fcntl
import time
from pathlib import Path

import pytest

from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import selection_problem
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.errors import InputError
from gzsl_dist.experiment import run as whole_run
from gzsl_dist.experiment.run_directory import locked, open_run_directory
from gzsl_dist.training.resume import check_start
from gzsl_dist.training.stop_signal import StopSignal
from gzsl_dist.training.trainer import Trainer

from .test_guard import ALONE, config, spoiled, train


def test_checkpoints_that_cannot_be_written_are_told_before_selection(tmp_path: Path) -> None:
    settings = config(tmp_path / "run")
    directory = open_run_directory(settings, ALONE)
    (directory / "checkpoints").write_text("in the way")
    strategy = choose_strategy(settings.train, ALONE)
    with pytest.raises(InputError, match=r"checkpoints: cannot be written .*--run\.dir"):
        whole_run.finish(
            digits_dataset(), settings, ALONE, strategy, directory, StopSignal(), time.monotonic()
        )
    assert not (directory / "selection").exists()


def test_checkpoints_of_another_data_set_are_told_before_selection(tmp_path: Path) -> None:
    train(digits_dataset(), config(tmp_path / "earlier"))
    settings = config(tmp_path / "run")
    resume = settings.train.model_copy(update={"resume": str(tmp_path / "earlier")})
    settings = settings.model_copy(update={"train": resume})
    check_start(tmp_path / "run", digits_dataset(), settings)
    with pytest.raises(InputError, match=r"made with data set = \w{12}, this run has \w{12}"):
        check_start(tmp_path / "run", spoiled(digits_dataset(), "absurd"), settings)


@pytest.mark.parametrize("whose", ["this run alone trains", "that run alone trained"])
def test_a_run_that_trained_other_parameters_is_told(whose: str, tmp_path: Path) -> None:
    """Losses of weight 0 train no parameters, though the networks are the same."""
    settings = config(tmp_path / "run")
    problem = selection_problem(digits_dataset(), settings)
    strategy = choose_strategy(settings.train, ALONE)
    trainer = Trainer(problem, settings, ALONE, strategy)
    trainer.train_step(0)
    state = trainer.state(1)
    if whose == "this run alone trains":
        name = "embedding.embed.weight"
        del state.optimizers["critic"][name]
    else:
        name = "some.weight"
        state.optimizers["critic"][name] = state.optimizers["critic"]["embedding.embed.weight"]
    saved = checkpoint.Checkpoint(tmp_path / "step-00000001", 1)
    with pytest.raises(InputError, match=f"step-00000001: of other losses: {name} is what {whose}"):
        Trainer(problem, settings, ALONE, strategy, (saved, state))


def test_a_second_job_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    settings = config(tmp_path / "run")
    with (
        locked(settings, ALONE),
        pytest.raises(InputError, match="in use by another job"),
        locked(settings, ALONE),
    ):
        pytest.fail("two jobs in one run directory")
    with locked(settings, ALONE) as directory:
        assert [path.name for path in directory.iterdir()] == [".lock"]


def test_a_file_system_without_locks_is_no_other_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(InputError, match=r"cannot be locked \(No locks available\)"),
        locked(config(tmp_path / "run"), ALONE),
    ):
        pytest.fail("it has no lock")
