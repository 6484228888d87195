"""Test rows are not read before the end of training, and nothing that is chosen knows them."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.guard import EarlyReadError, guarded
from gzsl_dist.data.problem import Problem, final_problem, selection_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.representation import MOST_ROWS
from gzsl_dist.experiment import experiment
from gzsl_dist.experiment import run as whole_run
from gzsl_dist.experiment.run_directory import open_run_directory
from gzsl_dist.run.result import Result
from gzsl_dist.training.stop_signal import StopSignal

ALONE = DistributedContext(0, 1, torch.device("cpu"), quiet=True)


def config(directory: Path, **evaluation: Any) -> Config:
    sizes = dict.fromkeys(
        ("generator_hidden", "critic_hidden", "embedding_dim", "comparator_hidden"), 32
    )
    return Config.model_validate(
        {
            "run": {"dir": str(directory)},
            "model": {**sizes, "noise_dim": 8, "projection_dim": 16, "prototype_hidden": 16},
            "train": {"steps": 6, "batch_size": 32, "critic_steps": 1, "learning_rate": 1e-3},
            "evaluation": {
                "selection": "validation", "every": 2, "rows_per_class": 10, "iterations": 10,
                **evaluation,
            },
        }
    )  # fmt: skip


def train(dataset: Dataset, settings: Config) -> Result:
    directory = open_run_directory(settings, ALONE)
    strategy = choose_strategy(settings.train, ALONE)
    result = whole_run.finish(
        dataset, settings, ALONE, strategy, directory, StopSignal(), time.monotonic()
    )
    assert result is not None
    return result


def spoiled(dataset: Dataset, how: str) -> Dataset:
    """Test rows without sense: absurd ones, or each with features and class of another."""
    features, labels = np.array(dataset.features[:]), dataset.labels.copy()
    draw = np.random.default_rng(0)
    for name in ("test_seen", "test_unseen"):
        rows = dataset.splits[name]
        if how == "absurd":
            features[rows] = draw.normal(size=features[rows].shape) * 1e6
        else:
            features[rows] = features[draw.permutation(rows)] * 100
            labels[rows] = labels[draw.permutation(rows)]
    return dataclasses.replace(dataset, features=features, labels=labels)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    directory = tmp_path_factory.mktemp("plain") / "run"
    return directory, train(digits_dataset(), config(directory))


def looked_at() -> int:
    """Test rows that are read once more, to see how they keep apart."""
    data = digits_dataset()
    return sum(
        int(np.minimum(np.bincount(data.labels[data.splits[name]]), MOST_ROWS).sum())
        for name in ("test_seen", "test_unseen")
    )


def chosen(directory: Path) -> dict[str, Any]:
    selection: dict[str, Any] = json.loads((directory / "selection/selection.json").read_text())
    del selection["fingerprint"]  # of the whole data set
    return selection


def weights(directory: Path) -> dict[str, np.ndarray]:
    (newest,) = sorted((directory / "checkpoints").glob("step-*"))[-1:]
    return load_file(newest / "networks.safetensors")


@pytest.mark.parametrize("how", ["absurd", "shuffled"])
def test_test_rows_change_neither_selection_nor_weights(
    how: str, plain: tuple[Path, Result], tmp_path: Path
) -> None:
    result = train(spoiled(digits_dataset(), how), config(tmp_path / "run"))
    assert chosen(tmp_path / "run") == chosen(plain[0])
    ours, theirs = weights(tmp_path / "run"), weights(plain[0])
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert np.array_equal(ours[name], theirs[name]), name
    assert (result.H, result.T1) != (plain[1].H, plain[1].T1), "the figures must know them"


def test_result_says_that_no_test_row_was_read_early(plain: tuple[Path, Result]) -> None:
    _, result = plain
    splits = digits_dataset().splits
    rows = len(splits["test_seen"]) + len(splits["test_unseen"])
    assert result.test_rows == {
        "rows": rows, "reads_before_end": 0, "evaluations_before_end": 0, "read_by": [],
        "reads_at_end": 2 * rows + looked_at(),  # by the classifier and by the baseline beside it
    }  # fmt: skip
    assert result.oracle is None


def test_oracle_is_counted_and_changes_nothing(plain: tuple[Path, Result], tmp_path: Path) -> None:
    result = train(digits_dataset(), config(tmp_path / "run", oracle=True))
    evaluations = -(-result.steps // 2)
    assert result.test_rows is not None
    assert result.test_rows["reads_before_end"] == evaluations * result.test_rows["rows"]
    assert result.test_rows["evaluations_before_end"] == evaluations
    assert result.test_rows["read_by"] == ["oracle"]
    assert result.oracle is not None
    assert result.oracle["evaluations"] == evaluations
    assert result.oracle["H"] >= result.raw["H"], "the last evaluation is one of them"
    assert result.oracle["best_factor"]["H"] >= max(result.H, result.oracle["H"])
    assert result.oracle["highest_T1"] >= result.T1
    for name in ("U", "S", "H", "T1", "AUSUC", "calibration", "steps"):
        assert getattr(result, name) == getattr(plain[1], name)
    for name, value in weights(tmp_path / "run").items():
        assert np.array_equal(value, weights(plain[0])[name])


def test_reading_early_raises_wherever_it_happens(tmp_path: Path) -> None:
    dataset, guard = guarded(digits_dataset())
    rows, settings = dataset.splits, config(tmp_path)
    assert dataset.fingerprint == digits_dataset().fingerprint
    selection_problem(dataset, settings)
    problem = final_problem(dataset, settings)
    reads = (
        lambda: problem.unseen.features[:],
        lambda: problem.seen.features[torch.tensor([3])],
        lambda: dataset.features[:],
        lambda: dataset.features[rows["test_unseen"][:1]],
        lambda: dataset.features[int(rows["test_seen"][0])],
        lambda: selection_problem(
            dataclasses.replace(dataset, splits=rows | {"trainval": rows["test_seen"]}), settings
        ),
    )
    for read in reads:
        with pytest.raises(EarlyReadError, match="before the end of training"):
            read()
    assert (guard.reads_before_end, guard.reads_at_end) == (0, 0)
    with guard.oracle():
        reads[0]()
    assert guard.reads_before_end == len(rows["test_unseen"])
    with pytest.raises(EarlyReadError):
        reads[1]()
    guard.end_training()
    reads[1]()
    assert guard.reads_at_end == 1


def test_a_look_at_an_unfinished_run_is_counted(tmp_path: Path) -> None:
    """As `gzsl_dist.evaluate` notes it, which may measure a run that is trained further."""
    from gzsl_dist.evaluation.oracle import note_early_read

    settings = config(tmp_path / "run")
    directory = open_run_directory(settings, ALONE)
    note_early_read(directory, "evaluate", 3, 1000)
    result = train(digits_dataset(), settings)
    assert result.test_rows is not None
    assert (result.test_rows["reads_before_end"], result.test_rows["read_by"]) == (
        1000, ["evaluate"],
    )  # fmt: skip


@pytest.mark.parametrize("selection", ["validation", "fixed"])
def test_test_rows_are_refused_during_training(
    selection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, refused = experiment.fit, []

    def curious(problem: Problem, *args: Any, **kwargs: Any) -> Any:
        if kwargs["title"] == "training":
            for rows in (problem.seen, problem.unseen):
                with pytest.raises(EarlyReadError):
                    rows.features[:]
            refused.append(True)
        return fit(problem, *args, **kwargs)

    monkeypatch.setattr(experiment, "fit", curious)
    calibration = "validation" if selection == "validation" else "none"
    train(digits_dataset(), config(tmp_path, selection=selection, calibration=calibration))
    assert refused == [True]
