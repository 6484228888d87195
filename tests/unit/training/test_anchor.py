"""The anchor in a run: what it is fitted to, how it is chosen, and that it is kept."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import Problem, final_problem, selection_problem
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.metrics import ScoredRows, measure
from gzsl_dist.experiment import run as whole_run
from gzsl_dist.experiment.run_directory import open_run_directory
from gzsl_dist.models.anchor import PENALTIES, WIDTHS, best_left_out, regressions
from gzsl_dist.training.anchor import choose_anchor, class_means, fit_anchor, with_anchor
from gzsl_dist.training.resume import compatibility
from gzsl_dist.training.stop_signal import StopSignal
from gzsl_dist.training.trained import load_run
from gzsl_dist.training.trainer import Trainer, networks_for

ALONE = DistributedContext(0, 1, torch.device("cpu"), quiet=True)
SIZES = dict.fromkeys(
    ("generator_hidden", "critic_hidden", "embedding_dim", "comparator_hidden"), 32
)


def config(directory: Path | str = "unused", **model: Any) -> Config:
    return Config.model_validate(
        {
            "run": {"dir": str(directory)},
            "model": {
                "anchor": "kernel_ridge", **SIZES, "noise_dim": 8, "projection_dim": 16,
                "prototype_hidden": 16, **model,
            },
            "train": {"steps": 4, "batch_size": 32, "critic_steps": 1},
            "evaluation": {
                "selection": "validation", "every": 2, "rows_per_class": 10, "iterations": 10,
            },
        }
    )  # fmt: skip


def plain_means(problem: Problem) -> torch.Tensor:
    rows, labels = problem.train.features[:].double(), problem.train.labels
    return torch.stack([rows[labels == n].mean(dim=0) for n in range(problem.seen_count)])


@pytest.mark.parametrize("model", [{}, {"anchor": "ridge"}, {"anchor_width": 3.0}])
def test_the_choice_is_the_best_of_all_by_the_area_under_the_curve(model: dict[str, Any]) -> None:
    """Recomputed by scikit-learn's cosine and `measure`, on validation classes."""
    settings = config(**model)
    problem = selection_problem(digits_dataset(), settings)
    widths = [3.0] if "anchor_width" in model else WIDTHS
    means = plain_means(problem)
    seen = problem.semantics[: problem.seen_count]
    areas = {}
    for one in regressions(settings.model.anchor, seen, means, widths, PENALTIES):
        prototypes = one(problem.semantics).numpy()
        scored = [
            ScoredRows.from_scores(
                cosine_similarity(rows.features[:].numpy(), prototypes),
                rows.labels.numpy(),
                problem.seen_count,
            )
            for rows in (problem.seen, problem.unseen)
        ]
        areas[one.width, one.penalty] = measure(*scored).AUSUC
    chosen = choose_anchor([problem], settings.model, ALONE)
    found = areas[chosen.get("anchor_width"), chosen["anchor_penalty"]]
    assert found == pytest.approx(max(areas.values()), abs=1e-3)  # float32 moves single rows
    assert found > min(areas.values())
    assert ("anchor_width" in chosen) == (settings.model.anchor == "kernel_ridge")


def test_without_an_anchor_there_is_nothing_to_choose_or_fit() -> None:
    settings = config(anchor="none")
    problem = selection_problem(digits_dataset(), settings)
    assert choose_anchor([problem], settings.model, ALONE) == {}
    networks = networks_for(problem, settings)
    assert fit_anchor(networks, problem, settings.model, ALONE) == {}
    assert not list(networks.generator.buffers())


@pytest.mark.parametrize("made", [selection_problem, final_problem])
def test_it_is_fitted_to_the_training_classes_alone(made: Any) -> None:
    """Trainer's anchor is the regression of the problem's training rows, by plain means."""
    settings = with_anchor(config(), {"anchor_width": 2.0, "anchor_penalty": 0.1, "other": 1.0})
    problem = made(digits_dataset(), settings)
    seen = problem.semantics[: problem.seen_count]
    (expected,) = regressions("kernel_ridge", seen, plain_means(problem), [2.0], [0.1])
    trainer = Trainer(problem, settings, ALONE, choose_strategy(settings.train, ALONE))
    assert trainer.networks.generator.anchor is not None
    torch.testing.assert_close(
        trainer.networks.generator.anchor(problem.semantics),
        expected(problem.semantics).float(),
        rtol=1e-4,
        atol=1e-4,
    )
    before = {name: value.clone() for name, value in trainer.networks.generator.named_buffers()}
    trainer.train_step(0)
    whole = trainer.consolidated_networks().generator
    for name, value in whole.named_buffers():
        assert torch.equal(value, before[name])  # it is not trained
    assert len(before) == 4


def test_without_validation_classes_left_out_classes_choose() -> None:
    settings = config()
    problem = final_problem(digits_dataset(), settings)
    fitted = fit_anchor(networks_for(problem, settings), problem, settings.model, ALONE)
    seen = problem.semantics[: problem.seen_count]
    best = best_left_out(regressions("kernel_ridge", seen, class_means(problem.train, 7, ALONE)))
    assert fitted == {"anchor_width": best.width, "anchor_penalty": best.penalty}


def test_means_are_those_of_plain_code_in_any_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = final_problem(digits_dataset(), config())
    expected = plain_means(problem)
    for size in (4096, 100):
        monkeypatch.setattr("gzsl_dist.training.anchor.BLOCK_ROWS", size)
        np.testing.assert_allclose(class_means(problem.train, 7, ALONE), expected, rtol=1e-12)


def finish(settings: Config) -> None:
    directory = open_run_directory(settings, ALONE)
    strategy = choose_strategy(settings.train, ALONE)
    whole_run.finish(
        digits_dataset(), settings, ALONE, strategy, directory, StopSignal(), time.monotonic()
    )


def test_a_run_keeps_its_choice_and_its_anchor(tmp_path: Path) -> None:
    settings = config(tmp_path / "run")
    finish(settings)
    folder = tmp_path / "run" / "selection"
    chosen = json.loads((folder / "anchor.json").read_text())
    assert chosen.keys() == {"anchor_width", "anchor_penalty"}
    assert json.loads((folder / "selection.json").read_text())["settings"] == chosen
    loaded = load_run(tmp_path / "run", ALONE)
    final = final_problem(digits_dataset(), settings)
    (expected,) = regressions(
        "kernel_ridge",
        final.semantics[: final.seen_count],
        plain_means(final),
        [chosen["anchor_width"]],
        [chosen["anchor_penalty"]],
    )
    assert loaded.networks.generator.anchor is not None
    found = loaded.networks.generator.anchor(final.semantics)
    torch.testing.assert_close(found, expected(final.semantics).float(), rtol=1e-4, atol=1e-4)


def test_an_interrupted_run_goes_on_with_the_anchor_it_chose(tmp_path: Path) -> None:
    """Its choice on disk is read, not made again."""
    settings = config(tmp_path / "run")
    folder = open_run_directory(settings, ALONE) / "selection"
    folder.mkdir(parents=True)
    given = {"anchor_width": 0.7, "anchor_penalty": 0.05}
    (folder / "anchor.json").write_text(json.dumps(given))
    finish(settings)
    assert json.loads((folder / "selection.json").read_text())["settings"] == given


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"anchor_width": "wide", "noise_dim": 3}'])
def test_a_damaged_choice_is_one_line(tmp_path: Path, text: str) -> None:
    settings = config(tmp_path / "run")
    folder = open_run_directory(settings, ALONE) / "selection"
    folder.mkdir(parents=True)
    (folder / "anchor.json").write_text(text)
    with pytest.raises(InputError, match=r"anchor\.json: .*delete the folder selection"):
        finish(settings)


def test_checkpoints_from_before_there_were_anchors_still_fit(tmp_path: Path) -> None:
    settings = config(tmp_path / "run", anchor="none")
    finish(settings)
    (found, *_) = checkpoint.checkpoints(tmp_path / "run" / "checkpoints")
    state = found.path / checkpoint.STATE
    values = json.loads(state.read_text())
    assert values["made_for"].pop("model.anchor") == "none"
    state.write_text(json.dumps(values))
    assert load_run(tmp_path / "run", ALONE).step == found.step
    anchored = config(tmp_path / "run")
    problem = final_problem(digits_dataset(), anchored)
    made = compatibility(problem.sizes, anchored, digits_dataset().fingerprint)
    with pytest.raises(InputError, match=r"model\.anchor = none, this run has kernel_ridge"):
        checkpoint.load(found, made)


def test_another_runs_weights_get_this_runs_anchor(tmp_path: Path) -> None:
    """`train.resume PATH` takes weights over; the anchor is this run's, as its result says."""
    finish(config(tmp_path / "one"))
    other = config(tmp_path / "other", anchor_width=3.0, anchor_penalty=0.5)
    train = {"resume": str(tmp_path / "one"), "steps": 6, "ema": 0.5}
    finish(other.model_copy(update={"train": other.train.model_copy(update=train)}))
    final = final_problem(digits_dataset(), other)
    seen = final.semantics[: final.seen_count]
    (expected,) = regressions("kernel_ridge", seen, plain_means(final), [3.0], [0.5])
    found = load_run(tmp_path / "other", ALONE).networks.generator.anchor
    assert found is not None
    torch.testing.assert_close(
        found(final.semantics), expected(final.semantics).float(), rtol=1e-4, atol=1e-4
    )


def test_a_width_without_a_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="ridge has no width"):
        config(anchor="ridge", anchor_width=2.0)
