"""Baselines against plain loops and scikit-learn, and as whole runs."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize

import gzsl_dist
from gzsl_dist.baselines import candidate as of_baselines
from gzsl_dist.baselines.candidate import UNCHOSEN
from gzsl_dist.baselines.nearest_prototype import LINEAR, nearest_prototype
from gzsl_dist.baselines.ridge import ridge
from gzsl_dist.baselines.run import choose_penalties, fit_baseline, score_rows
from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import Problem, Rows, final_problem, selection_problem
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation import scored as of_scores
from gzsl_dist.evaluation.metrics import measure, seen_unseen_curve
from gzsl_dist.experiment.run import finish
from gzsl_dist.experiment.run_directory import open_run_directory
from gzsl_dist.monitoring.tables import explanations, print_result
from gzsl_dist.run.result import Result
from gzsl_dist.training.stop_signal import StopSignal
from gzsl_dist.training.trained import load_run

ALONE = DistributedContext(0, 1, torch.device("cpu"), quiet=True)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return final_problem(digits_dataset(), Config.model_validate({"method": "ridge"}))


def arrays(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and semantics of length 1, and labels."""
    features = normalize(problem.train.features.double().numpy())
    return features, normalize(problem.semantics.double().numpy()), problem.train.labels.numpy()


@pytest.mark.parametrize(("gamma", "lam"), [(0.1, 1.0), (3.0, 0.01)])
def test_ridge_solves_its_normal_equations(problem: Problem, gamma: float, lam: float) -> None:
    """Recomputed with explicit inverses, in the paper's columns."""
    features, semantics, labels = arrays(problem)
    center = features.mean(axis=0)
    x, s = (features - center).T, semantics[: problem.seen_count].T
    y = np.full((len(labels), problem.seen_count), -1.0)
    for row, label in enumerate(labels):
        y[row, label] = 1
    own, other = x @ x.T, s @ s.T
    own += gamma * np.trace(own) / len(own) * np.eye(len(own))
    other += lam * np.trace(other) / len(other) * np.eye(len(other))
    weight = np.linalg.inv(own) @ x @ y @ s.T @ np.linalg.inv(other)
    (found,) = ridge(problem, [gamma], [lam])
    assert found.settings == {"feature_penalty": gamma, "semantic_penalty": lam}
    rows = problem.unseen.features[:20]
    expected = (normalize(rows.double().numpy()) - center) @ weight @ semantics.T
    np.testing.assert_allclose(found.score(rows).numpy(), expected, rtol=1e-6, atol=1e-9)


def test_nearest_prototype_agrees_with_scikit_learn(problem: Problem) -> None:
    features, semantics, labels = arrays(problem)
    means = NearestCentroid().fit(features, labels).centroids_
    model = Ridge(alpha=0.5).fit(semantics[: problem.seen_count], means)
    prototypes = normalize(np.concatenate([means, model.predict(semantics[problem.seen_count :])]))
    (found,) = nearest_prototype(problem, [LINEAR], [0.5])
    rows = problem.seen.features[:20]
    expected = normalize(rows.double().numpy()) @ prototypes.T
    np.testing.assert_allclose(found.score(rows).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["ridge", "nearest_prototype"])
def test_rows_are_read_and_scored_block_by_block(
    problem: Problem, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows in float64, or a matrix of rows and classes, would not fit where these are many."""
    whole = score_rows(fit_baseline(problem, method, UNCHOSEN[method]), problem)
    asked: list[int] = []

    class Watched:
        def __init__(self, features: Any) -> None:
            self._features, self.shape = features, features.shape

        def __getitem__(self, rows: Any) -> torch.Tensor:
            found: torch.Tensor = self._features[rows]
            asked.append(len(found))
            return found

    def watched(rows: Rows) -> Rows:
        return Rows(Watched(rows.features), rows.labels)  # type: ignore[arg-type]

    monkeypatch.setattr(of_baselines, "BLOCK_ROWS", 100)
    monkeypatch.setattr(of_scores, "SCORES", 50 * len(problem.classes))
    parts = {name: watched(getattr(problem, name)) for name in ("train", "seen", "unseen")}
    blocks = replace(problem, **parts)
    found = score_rows(fit_baseline(blocks, method, UNCHOSEN[method]), blocks)
    assert max(asked) == 100
    assert sum(asked) == sum(len(part) for part in parts.values())
    for side in ("seen", "unseen"):
        rows, expected = getattr(found, side), getattr(whole, side)
        assert np.array_equal(rows.labels, expected.labels)
        assert np.array_equal(rows.best_seen, expected.best_seen)
        assert np.array_equal(rows.best_unseen, expected.best_unseen)
        np.testing.assert_allclose(rows.lead, expected.lead, atol=1e-9)


def test_every_pair_of_penalties_is_offered_once(problem: Problem) -> None:
    found = [candidate.settings for candidate in ridge(problem, [1, 2], [3, 4, 5])]
    assert len({tuple(settings.values()) for settings in found}) == len(found) == 6


def test_every_width_and_penalty_is_offered_once_and_fitted_again_alike(problem: Problem) -> None:
    offered = list(nearest_prototype(problem, [LINEAR, 2.0, 8.0], [0.1, 1.0]))
    assert len({tuple(one.settings.items()) for one in offered}) == len(offered) == 6
    rows = problem.unseen.features[:20]
    for one in offered:
        again = fit_baseline(problem, "nearest_prototype", one.settings)
        assert again.settings == one.settings
        torch.testing.assert_close(again.score(rows), one.score(rows))
    scores = torch.stack([one.score(rows) for one in offered])
    assert (scores[1:] - scores[:-1]).abs().amax(dim=(1, 2)).min() > 1e-4, "all differ"


@pytest.mark.parametrize("method", ["ridge", "nearest_prototype"])
def test_whole_run(method: str, tmp_path: Path) -> None:
    """Chosen on validation classes, test rows read once, above chance; going on reads it back."""
    config = Config.model_validate(
        {"method": method, "run": {"dir": str(tmp_path)}, "evaluation": {"selection": "validation"}}
    )

    def run() -> Result:
        directory = open_run_directory(config, ALONE)
        strategy = choose_strategy(config.train, ALONE)
        now = time.monotonic()
        result = finish(digits_dataset(), config, ALONE, strategy, directory, StopSignal(), now)
        assert result is not None
        return result

    result = run()
    assert result.T1 > 0.5, "a third by chance"
    assert result.test_rows is not None
    assert result.test_rows["reads_before_end"] == 0
    assert result.test_rows["reads_at_end"] == result.test_rows["rows"]
    assert set(result.selection["settings"]) >= {"semantic_penalty"}
    assert (result.steps, result.strategy, result.method) == (0, "closed form", method)
    (tmp_path / "result.json").unlink()
    assert run().per_class == result.per_class
    with pytest.raises(InputError, match="has no networks"):
        load_run(tmp_path, ALONE)
    digits, model = digits_dataset(), gzsl_dist.load(tmp_path)
    rows = digits.splits["test_unseen"]
    found = model.predict(digits.features[rows])
    for name, accuracy in result.per_class["unseen"].items():
        of_class = digits.labels[rows] == digits.classes.index(name)
        assert (found[of_class] == name).mean() == pytest.approx(accuracy)
    semantics = np.random.default_rng(0).standard_normal(digits.semantics.shape[1])
    more = gzsl_dist.add_classes(tmp_path, {"a hook": semantics})
    assert more.classes == (*model.classes, "a hook")
    first = more.restricted(model.classes)
    np.testing.assert_allclose(
        first.predict_proba(digits.features[rows]), model.predict_proba(digits.features[rows])
    )


def test_a_training_has_the_baseline_of_its_data_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(**settings: Any) -> Result:
        directory = str(tmp_path / settings["method"])
        config = Config.model_validate({"run": {"dir": directory}, **settings})
        opened = open_run_directory(config, ALONE)
        strategy, now = choose_strategy(config.train, ALONE), time.monotonic()
        result = finish(digits_dataset(), config, ALONE, strategy, opened, StopSignal(), now)
        assert result is not None
        return result

    small = {"steps": 1, "critic_steps": 1, "batch_size": 16}
    young = {"calibration": "none", "iterations": 3, "rows_per_class": 3}
    trained = run(method="wgan", train=small, evaluation=young)
    alone = run(method="nearest_prototype")
    assert alone.baseline is None
    assert trained.baseline == {"method": "nearest_prototype", **alone.figures}
    without = young | {"baseline": "none"}
    capsys.readouterr()
    print_result(trained, tmp_path, ALONE)
    printed = capsys.readouterr().out
    assert f"{100 * alone.H:.1f}" in printed
    assert "chance level 10.0" in printed
    assert "chance level 33.3" in printed
    fewer = replace(trained, class_counts={"seen": 7, "unseen": 13})
    assert "chance level 7.7" in " ".join(explanations(fewer)), "classes without test rows compete"
    many = replace(trained, class_counts={"seen": 19000, "unseen": 1000})
    assert "chance level 0.005)" in " ".join(explanations(many))
    shutil.rmtree(tmp_path / "wgan")
    assert run(method="wgan", train=small, evaluation=without).baseline is None
    shutil.rmtree(tmp_path / "wgan")
    monkeypatch.setattr("gzsl_dist.baselines.run.MOST_CLASSES", 9)
    assert run(method="wgan", train=small, evaluation=young).baseline is None


@pytest.mark.parametrize("calibration", ["none", "fixed"])
@pytest.mark.parametrize("method", ["ridge", "nearest_prototype"])
def test_without_validation_two_seen_classes_are_enough(
    method: str, calibration: str, tmp_path: Path
) -> None:
    digits = digits_dataset()
    two = digits.seen_classes[:2]
    splits = {
        name: rows[np.isin(digits.labels[rows], two)] if name != "test_unseen" else rows
        for name, rows in digits.splits.items()
        if name in ("trainval", "test_seen", "test_unseen")
    }
    few = replace(digits, splits=splits)
    evaluation: dict[str, object] = {"selection": "fixed", "calibration": calibration}
    if calibration == "fixed":
        evaluation["calibration_factor"] = 0.25
    config = Config.model_validate(
        {"method": method, "run": {"dir": str(tmp_path)}, "evaluation": evaluation}
    )
    with pytest.raises(InputError, match="too few seen classes"):
        selection_problem(few, config)
    directory, strategy = open_run_directory(config, ALONE), choose_strategy(config.train, ALONE)
    result = finish(few, config, ALONE, strategy, directory, StopSignal(), time.monotonic())
    assert result is not None
    assert not (tmp_path / "selection").exists()
    assert result.selection["validation"] is None
    assert result.selection["calibration_factor"] == evaluation.get("calibration_factor", 0.0)
    unchosen = {"ridge": {"feature_penalty": 1.0, "semantic_penalty": 1.0}}
    assert result.selection["settings"] == unchosen.get(method, {"semantic_penalty": 0.1})


def test_penalties_with_the_highest_h_are_chosen(tmp_path: Path) -> None:
    config = Config.model_validate({"method": "ridge", "evaluation": {"calibration": "validation"}})
    chosen = choose_penalties(digits_dataset(), config, tmp_path / "selection.json")
    problem = selection_problem(digits_dataset(), config)
    figures = []
    for candidate in ridge(problem):
        scored = score_rows(candidate, problem)
        factor = seen_unseen_curve(scored.seen, scored.unseen).best_factor()
        figures.append((measure(scored.seen, scored.unseen, factor).H, candidate.settings))
    highest = max(h for h, _ in figures)
    assert min(h for h, _ in figures) < highest
    assert (highest, chosen.settings) in figures
