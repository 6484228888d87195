"""Selection over several disjoint sets of seen classes: one choice, by their mean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gzsl_dist.baselines.run import choose_penalties, fit_baseline, score_rows
from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import Problem, selection_problem
from gzsl_dist.errors import InputError, PreemptedError
from gzsl_dist.evaluation.metrics import (
    ScoredRows,
    best_common_factor,
    measure,
    seen_unseen_curve,
)
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.evaluation.selection import (
    PREFIX,
    needs_validation,
    validation_figures,
    validations_of_folds,
)
from gzsl_dist.experiment import experiment
from gzsl_dist.training.anchor import choose_anchor
from gzsl_dist.training.loop import fit

from .test_anchor import ALONE, config, finish


def with_folds(folds: int, directory: Path | str = "unused", **model: Any) -> Config:
    made = config(directory, **model)
    return made.model_copy(
        update={"evaluation": made.evaluation.model_copy(update={"folds": folds})}
    )


def without_published(dataset: Dataset) -> Dataset:
    """Without validation classes of its own, so that all are drawn."""
    kept = {name: rows for name, rows in dataset.splits.items() if name not in ("train", "val")}
    return replace(dataset, splits=kept)


def validation_classes(dataset: Dataset, folds: int) -> list[list[int]]:
    settings = with_folds(folds)
    problems = [selection_problem(dataset, settings, fold) for fold in range(folds)]
    for problem in problems:
        assert set(problem.classes) <= set(dataset.seen_classes)
        held = problem.train.labels.unique().tolist()
        assert held == list(range(problem.seen_count))  # no validation class is trained
    return [problem.classes[problem.seen_count :].tolist() for problem in problems]


@pytest.mark.parametrize("folds", [1, 2, 3, 7])
@pytest.mark.parametrize("has_published", [False, True])
def test_folds_are_disjoint_sets_of_seen_classes(folds: int, has_published: bool) -> None:
    dataset = digits_dataset()
    if not has_published:
        dataset = without_published(dataset)
    elif folds == 7:
        folds = 6
    found = validation_classes(dataset, folds)
    together = [number for fold in found for number in fold]
    assert len(set(together)) == len(together)
    assert all(found)
    if has_published:
        assert found[0] == np.unique(dataset.labels[dataset.splits["val"]]).tolist()
    assert len({len(fold) for fold in found[has_published:]}) <= 1
    (alone,) = validation_classes(dataset, 1)
    assert set(found[0]) <= set(alone)


def test_more_folds_than_seen_classes_are_refused() -> None:
    for dataset in (digits_dataset(), without_published(digits_dataset())):
        with pytest.raises(InputError, match=r"folds 8: .*7 seen classes.*use fewer"):
            selection_problem(dataset, with_folds(8))


def scored(seed: int) -> ScoredProblem:
    draw = np.random.default_rng(seed)

    def rows(labels: np.ndarray, shift: float) -> ScoredRows:
        wrong = draw.integers(0, 3, len(labels))
        right = draw.random(len(labels)) < 0.6
        return ScoredRows(
            labels,
            np.where(right, labels % 3, wrong),
            3 + np.where(right, labels % 3, wrong),
            draw.normal(shift, 1, len(labels)),
        )

    return ScoredProblem(rows(np.arange(60) % 3, 1 + seed), rows(3 + np.arange(50) % 3, seed))


def test_the_common_factor_has_the_highest_mean_h_of_all() -> None:
    folds = [scored(seed) for seed in range(3)]
    curves = [seen_unseen_curve(fold.seen, fold.unseen) for fold in folds]

    def mean_h(factor: float) -> float:
        return float(np.mean([measure(fold.seen, fold.unseen, factor).H for fold in folds]))

    factor = best_common_factor(curves)
    tried = np.unique(np.concatenate([curve.factors for curve in curves]))
    everywhere = np.concatenate([tried - 1e-9, tried + 1e-9])
    assert mean_h(factor) == pytest.approx(max(mean_h(one) for one in everywhere))
    assert mean_h(factor) > mean_h(np.mean([curve.best_factor() for curve in curves])) - 1e-12
    assert best_common_factor(curves[:1]) == curves[0].best_factor()


def test_figures_are_means_at_the_one_factor() -> None:
    settings = with_folds(3).evaluation
    folds = [{4: scored(seed), 2: scored(seed + 3), 6 + seed: scored(9)} for seed in range(3)]
    lines = validations_of_folds(folds, settings)
    assert [line["step"] for line in lines] == [2, 4]  # steps that all folds have
    factor = lines[1][PREFIX + "calibration_factor"]
    for name in ("U", "S", "H", "T1", "AUSUC"):
        values = [getattr(measure(fold[4].seen, fold[4].unseen, factor), name) for fold in folds]
        assert lines[1][PREFIX + name] == pytest.approx(np.mean(values))
    raw = [measure(fold[4].seen, fold[4].unseen).H for fold in folds]
    assert lines[1][PREFIX + "raw_H"] == pytest.approx(np.mean(raw))


def test_scored_rows_are_read_back_exactly_and_damage_is_named(tmp_path: Path) -> None:
    one, path = scored(1), tmp_path / "folder" / "scored.npz"
    one.save(path)
    again = ScoredProblem.load(path)
    for group in ("seen", "unseen"):
        for name, values in vars(getattr(one, group)).items():
            np.testing.assert_array_equal(getattr(getattr(again, group), name), values)
    for content in (path.read_bytes()[:-60], b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"scored.npz: damaged.*delete the folder"):
            ScoredProblem.load(path)


def test_a_run_chooses_by_the_mean_of_its_folds(tmp_path: Path) -> None:
    settings = with_folds(3, tmp_path)
    finish(settings)
    chosen = json.loads((tmp_path / "selection" / "selection.json").read_text())
    folds = [
        {
            step: ScoredProblem.load(
                tmp_path / f"selection/fold-{number}/scored/step-{step:08d}.npz"
            )
            for step in (2, 4)
        }
        for number in (1, 2, 3)
    ]
    assert not (tmp_path / "selection" / "metrics.jsonl").exists()
    figures = {
        step: validation_figures([fold[step] for fold in folds], settings.evaluation)
        for step in (2, 4)
    }
    best = max(figures, key=lambda step: (figures[step][PREFIX + "H"], -step))
    assert chosen["steps"] == best
    assert chosen["calibration_factor"] == figures[best][PREFIX + "calibration_factor"]
    assert chosen["validation"]["H"] == figures[best][PREFIX + "H"]
    assert chosen["how"].count("drawn") == 2
    assert chosen["settings"].keys() == {"anchor_width", "anchor_penalty"}


def test_an_interrupted_fold_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of fold 2: what was done is not done again, and the choice is that of
    an uninterrupted run."""
    one, other = with_folds(2, tmp_path / "one"), with_folds(2, tmp_path / "other")
    finish(one)
    trained = []

    def stopping(*arguments: Any, title: str, steps: int, **options: Any) -> Any:
        trained.append(title)
        if len(trained) == 2:
            fit(*arguments, title=title, steps=2, **options)
            raise PreemptedError("stopped in the middle")
        return fit(*arguments, title=title, steps=steps, **options)

    monkeypatch.setattr(experiment, "fit", stopping)
    with pytest.raises(PreemptedError):
        finish(other)
    monkeypatch.undo()
    scored = tmp_path / "other" / "selection" / "fold-1" / "scored" / "step-00000004.npz"
    early = tmp_path / "other" / "selection" / "fold-2" / "scored" / "step-00000002.npz"
    before = [kept.stat().st_mtime_ns for kept in (scored, early)]
    finish(other)
    assert [kept.stat().st_mtime_ns for kept in (scored, early)] == before
    ours, theirs = (
        json.loads((tmp_path / name / "selection" / "selection.json").read_text())
        for name in ("one", "other")
    )
    assert ours == theirs


def test_an_anchor_is_chosen_by_the_mean_of_all_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = with_folds(3)
    problems = [selection_problem(digits_dataset(), settings, fold) for fold in range(3)]
    one, other = {"anchor_penalty": 1.0}, {"anchor_penalty": 2.0}
    areas = {id(problems[0]): (0.9, 0.5), id(problems[1]): (0.1, 0.4), id(problems[2]): (0.2, 0.4)}

    def told(problem: Problem, *_: object) -> list[tuple[float, dict[str, float]]]:
        return list(zip(areas[id(problem)], (one, other), strict=True))

    monkeypatch.setattr("gzsl_dist.training.anchor._areas", told)
    assert choose_anchor(problems, settings.model, ALONE) == other
    assert choose_anchor(problems[:1], settings.model, ALONE) == one


def test_folds_are_unused_where_nothing_is_chosen_by_them() -> None:
    """So that the digits' own three do not stand in the way of fixed steps and no factor."""
    config = Config.model_validate(
        {"evaluation": {"folds": 2, "selection": "fixed", "calibration": "none"}}
    )
    assert not needs_validation(config.evaluation)


def test_two_folds_where_most_seen_classes_are_published_ones() -> None:
    """The one that is drawn has what is left of the seen classes, at most."""
    dataset = digits_dataset()
    rows = dataset.splits["trainval"]
    inside = np.isin(dataset.labels[rows], dataset.seen_classes[:4])
    splits = {**dataset.splits, "train": rows[~inside], "val": rows[inside]}
    found = validation_classes(replace(dataset, splits=splits), 2)
    assert found == [dataset.seen_classes[:4].tolist(), dataset.seen_classes[4:].tolist()]


def test_weights_that_saw_a_folds_validation_classes_are_not_started_from(tmp_path: Path) -> None:
    """Another seed draws other validation rows: what was trained on them would choose by them."""
    finish(config(tmp_path / "one"))
    other = config(tmp_path / "other")
    train = {"seed": 1, "resume": str(tmp_path / "one")}
    other = other.model_copy(update={"train": other.train.model_copy(update=train)})
    with pytest.raises(
        InputError, match=r"validation split = 1 of 1, seed 0, .* has 1 of 1, seed 1"
    ):
        finish(other)


@pytest.mark.parametrize("method", ["ridge", "nearest_prototype"])
def test_baselines_choose_by_the_mean_of_the_folds(method: str, tmp_path: Path) -> None:
    made = Config.model_validate({"method": method, "evaluation": {"folds": 3}})
    chosen = choose_penalties(digits_dataset(), made, tmp_path / "selection.json")
    assert chosen.settings is not None
    problems = [selection_problem(digits_dataset(), made, fold) for fold in range(3)]
    values = []
    for problem in problems:
        rows = score_rows(fit_baseline(problem, method, chosen.settings), problem)
        values.append(measure(rows.seen, rows.unseen, chosen.calibration_factor).H)
    assert chosen.validation is not None
    assert chosen.validation["H"] == pytest.approx(np.mean(values))
    assert torch.tensor(values).std() > 0
