"""Sweeps: from the file to tasks, what is refused, and figures over seeds."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from gzsl_dist.config.run_names import run_name
from gzsl_dist.errors import InputError
from gzsl_dist.results.collect import chosen_points, collect
from gzsl_dist.results.forms import markdown_study, report_sweep
from gzsl_dist.results.groups import Group, Run, to_csv, to_json
from gzsl_dist.results.page import html_study
from gzsl_dist.results.picture import png, study_picture
from gzsl_dist.results.statistics import TWO_SEEDS, Estimate, paired_difference
from gzsl_dist.results.tables import separability
from gzsl_dist.run.selection import Selection
from gzsl_dist.run.state import RunState, recorded_state
from gzsl_dist.sweeps.plan import Task, read_sweep
from gzsl_dist.sweeps.status import status_of
from gzsl_dist.sweeps.trials import told

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "configs" / "digits.yaml"


def sweep(folder: Path, text: str) -> list[Task]:
    file = folder / "mine.yaml"
    file.write_text(text)
    return read_sweep(file)


def base(folder: Path, **more: str) -> str:
    parts = {"data": f"{{digits: {DIGITS}}}", "dir": str(folder / "runs")} | more
    return "".join(f"{key}: {value}\n" for key, value in parts.items())


SHIPPED = [*ROOT.glob("configs/sweeps/*.yaml"), *ROOT.glob("configs/studies/*.yaml")]


@pytest.mark.parametrize("file", sorted(SHIPPED), ids=lambda file: file.stem)
def test_the_sweeps_that_are_shipped_are_sound(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert len(read_sweep(file)) >= 2


def test_every_combination_has_a_directory_of_its_own(tmp_path: Path) -> None:
    tasks = sweep(
        tmp_path,
        base(
            tmp_path, methods="[iapc, wgan]", seeds="[0, 1, 2]",
            grid="{train.learning_rate: [1.0e-4, 3.0e-4], data.semantics_norm: [null, 8.0]}",
        ),
    )  # fmt: skip
    assert len(tasks) == 2 * 3 * 2 * 2
    assert len({task.directory for task in tasks}) == len(tasks)
    assert len({task.group for task in tasks}) == 8
    assert [task.index for task in tasks] == list(range(24))
    assert "--data.semantics_norm" in tasks[0].arguments
    assert "null" in tasks[0].arguments


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"seed": "[1]"}, "unknown key seed; did you mean seeds"),
        ({"settings": "{train.stepz: 3}"}, "settings.train.stepz: .* did you mean train.steps"),
        ({"grid": "{train.stepz: [3]}"}, "grid.train.stepz: unknown setting"),
        ({"grid": "{train.steps: 3}"}, "grid.train.steps: "),
        ({"grid": "{train.steps: []}"}, "grid.train.steps: "),
        ({"settings": "{train.steps: -3}"}, "train.steps = '-3'"),
        ({"settings": "{train.seed: 3}"}, "settings.train.seed: use seeds"),
        ({"settings": "{train.steps: 3}", "grid": "{train.steps: [3]}"}, "drop one"),
        ({"seeds": "[]"}, "seeds: "),
        ({"seeds": "[1, 1]"}, "seeds: 1 stands there twice"),
        ({"seeds": "[-1]"}, "seeds.0: "),
        ({"methods": "[magic]"}, "method = 'magic'"),
        ({"data": "{x: missing.yaml}"}, "missing.yaml: cannot be read"),
        ({"data": "{}"}, "data: "),
        ({"data": f"{{x: {{iapc: {DIGITS}}}}}", "methods": "[iapc]"}, "drop methods"),
        ({"data": f"{{x: {{wgan: {DIGITS}}}}}"}, "data.x.wgan: .*digits.yaml trains iapc"),
        ({"points": "[]"}, "points"),
        ({"points": "[{train.stepz: 3}]"}, "points.train.stepz: .* did you mean train.steps"),
        ({"points": "[{train.steps: 3}, {train.steps: 3}]"}, "two tasks would share"),
        ({"points": "[{}]", "grid": "{train.steps: [3]}"}, "grid and points are there; drop one"),
        ({"points": "{wgan: [{}]}"}, "points.iapc is missing"),
        ({"points": "{iapc: [{}], wgan: [{}]}"}, "points.wgan: no such method"),
        ({"points": "[{evaluation.final: false}, {}]"}, "two files|would share"),
        ({"grid": "{evaluation.oracle: [true], evaluation.final: [true, false]}"}, "would share"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    more: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        sweep(tmp_path, base(tmp_path, **more))
    assert "\n" not in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_run_names_tell_runs_apart() -> None:
    assert run_name("cub", {}) == "cub"
    assert run_name("cub", {"train.seed": "3", "method": "wgan"}) == "cub-wgan-seed3"
    assert run_name("cub", {"train.strategy": "ddp", "log.every": "3"}) == "cub"
    assert run_name("cub", {"data.path": "a/x.h5"}) != run_name("cub", {"data.path": "b/x.h5"})
    long = {"loss.prototype.margin": "0." + "1" * 150}
    assert len(run_name("cub", long)) <= 120
    assert "/" not in run_name("cub", {"train.deepspeed_config": "a/b", "data.path": "/a/b"})


def write_result(task: Task, values: dict[str, float], fingerprint: str = "f" * 64) -> None:
    task.directory.mkdir(parents=True)
    result = {"dataset": {"name": "digits", "fingerprint": fingerprint}, "steps": 3, **values}
    (task.directory / "result.json").write_text(json.dumps(result))


def found_estimate(group: Group[Run], name: str) -> Estimate:
    estimate = group.estimate(name)
    assert estimate is not None
    return estimate


def figures(value: float) -> dict[str, float]:
    return dict.fromkeys(("U", "S", "H", "T1", "AUSUC"), value)


def test_mean_and_interval_over_seeds(tmp_path: Path) -> None:
    tasks = sweep(tmp_path, base(tmp_path, methods="[iapc, wgan]", seeds="[0, 1, 2, 3]"))
    values = [0.5, 0.6, 0.55, 0.45]
    for task, value in zip(tasks[:4], values, strict=True):
        write_result(task, figures(value))
    write_result(tasks[4], figures(0.25))
    iapc, wgan = collect(tasks)
    low, high = scipy.stats.t.interval(
        0.95, 3, loc=scipy.stats.tmean(values), scale=scipy.stats.sem(values)
    )
    estimate = found_estimate(iapc, "H")
    assert estimate.mean == pytest.approx(0.525)
    assert estimate.mean - estimate.half_width == pytest.approx(low)
    assert estimate.mean + estimate.half_width == pytest.approx(high)
    assert (wgan.seeds, wgan.planned, str(found_estimate(wgan, "H"))) == ([0], 4, "25.0")
    rows = list(csv.DictReader(io.StringIO(to_csv([iapc, wgan]))))
    assert [(row["method"], row["seed"], float(row["H"])) for row in rows] == [
        *(("iapc", str(seed), value) for seed, value in enumerate(values)),
        ("wgan", "0", 0.25),
    ]
    assert "| digits | wgan | – | 1 of 4 | 25.0 |" in markdown_study([iapc, wgan])
    page = html_study([iapc, wgan], "a <b>", [])
    assert "a &lt;b&gt;" in page
    assert "http" not in page


def test_how_well_unseen_classes_keep_apart_is_collected(tmp_path: Path) -> None:
    tasks = sweep(tmp_path, base(tmp_path, seeds="[0, 1]"))
    measured = dict.fromkeys(("overlap", "margin", "silhouette", "map_at_r", "nmi"), 0.25)
    for task, margin in zip(tasks, (0.2, 0.4), strict=True):
        write_result(task, figures(0.5))
        groups = {"real unseen": {"u": measured | {"margin": margin}}}
        text = json.dumps({"space": "u", "bins": 100, "groups": groups})
        (task.directory / "representation.json").write_text(text)
    (group,) = collect(tasks)
    assert found_estimate(group, "real_u_margin").mean == pytest.approx(0.3)
    assert found_estimate(group, "real_u_nmi").mean == pytest.approx(0.25)
    assert json.loads(to_json([group]))[0]["runs"]["1"]["real_u_margin"] == 0.4
    assert png([study_picture([group])]).startswith(b"\x89PNG")


def test_separation_is_compared_on_equal_seeds(tmp_path: Path) -> None:
    tasks = sweep(tmp_path, base(tmp_path, methods="[iapc, ce_gzsl, ridge]", seeds="[0, 1, 2]"))
    values = (0.5, 0.6, 0.7, 0.45, 0.55, 0.64)
    for task, value in zip(tasks, values, strict=False):
        write_result(task, figures(0.5))
        measured = dict.fromkeys(("overlap", "margin", "silhouette", "map_at_r", "nmi"), value)
        groups = {
            "real unseen": {"u": measured, "x": measured},
            "synthetic unseen": {"u": measured},
        }
        text = json.dumps({"space": "u", "bins": 100, "groups": groups})
        (task.directory / "representation.json").write_text(text)
    write_result(tasks[6], figures(0.4))
    found = collect(tasks)
    table = separability(found)
    assert table is not None
    assert [row[1:4] for row in table.rows] == [
        ["real", "u", "iapc"],
        ["real", "u", "ce_gzsl"],
        ["real", "x", "any"],
        ["synthetic", "u", "iapc"],
        ["synthetic", "u", "ce_gzsl"],
    ]
    low, high = scipy.stats.ttest_rel(values[:3], values[3:]).confidence_interval()
    ahead = f"(+5.3 ± {50 * (high - low):.1f} *)"
    assert table.rows[1][4].endswith(ahead)
    assert "mAP@R" in markdown_study(found)
    assert "mAP@R" in html_study(found, "study", [])
    assert separability([found[2]]) is None


def test_points_are_trials_of_a_method(tmp_path: Path) -> None:
    """Each may change the common settings; methods may have trials of their own."""
    common = {"methods": "[iapc, wgan]", "seeds": "[0, 1]", "settings": "{train.steps: 9}"}
    points = "[{}, {train.steps: 3, loss.instance.margin: 0.25}]"
    tasks = sweep(tmp_path, base(tmp_path, **common, points=points))
    assert len(tasks) == 2 * 2 * 2
    assert len({task.directory for task in tasks}) == 8
    assert {task.config.train.steps for task in tasks if not task.point} == {9}
    changed = [task for task in tasks if task.point]
    assert {task.config.train.steps for task in changed} == {3}
    assert {task.config.loss.instance.margin for task in changed} == {0.25}
    assert all(task.arguments.count("--train.steps") == 1 for task in tasks)
    own = f"{{iapc: {points}, wgan: [{{train.critic_steps: 3}}]}}"
    tasks = sweep(tmp_path, base(tmp_path, **common, points=own))
    assert [task.method for task in tasks] == ["iapc"] * 4 + ["wgan"] * 2
    assert tasks[4].config.train.critic_steps == 3


def test_a_search_and_a_measurement_are_two_files(tmp_path: Path) -> None:
    points = "[{evaluation.final: false, train.steps: 3}, {}]"
    with pytest.raises(InputError, match="in two files"):
        sweep(tmp_path, base(tmp_path, points=points))


def write_selection(task: Task, h: float, steps: int = 100) -> None:
    task.outcome.parent.mkdir(parents=True)
    names = ("U", "S", "T1", "AUSUC", "raw_U", "raw_S")
    validation = dict.fromkeys(names, 0.5) | {"H": h, "raw_H": 1 - h}
    Selection(steps, 0.25, "note", "f" * 64, validation).write(task.outcome)


def test_a_search_ranks_its_trials_by_validation(tmp_path: Path) -> None:
    grid = "{loss.instance.margin: [0.1, 0.2, 0.3]}"
    text = base(
        tmp_path, methods="[wgan, iapc]", seeds="[0, 1]", grid=grid,
        settings="{evaluation.final: false}",
    )  # fmt: skip
    tasks = sweep(tmp_path, text)
    assert all(task.searches for task in tasks)
    for task, h in zip(tasks[:6], (0.5, 0.6, 0.7, 0.8, 0.6, 0.4), strict=True):
        write_selection(task, h)
    assert status_of(tasks[0]).state == "done"
    assert status_of(tasks[0]).note == "validation H 50.0"
    assert status_of(tasks[6]).state == "missing"
    groups = collect(tasks)
    assert [group.method for group in groups] == ["wgan"] * 3 + ["iapc"] * 3
    assert [group.point[-3:] for group in groups[:3]] == ["0.2", "0.1", "0.3"]
    assert [group.best for group in groups] == [True, False, False, False, False, False]
    low, high = scipy.stats.t.interval(0.95, 1, loc=0.75, scale=scipy.stats.sem([0.7, 0.8]))
    assert found_estimate(groups[0], "H").interval == pytest.approx((low, high))
    table = markdown_study(groups)
    assert "| wgan | loss.instance.margin=0.2 | 2 of 2 | 75.0 ± ? | 50.0 ± 0.0 |" in table
    assert f"\n{TWO_SEEDS}\n" in table
    assert "| 100 ± 0 | 0.250 ± 0.000 | best |" in table
    assert "Paired" not in table
    assert chosen_points(groups) == ["points:", "  wgan: [{loss.instance.margin: 0.2}]  # digits"]
    assert "no test row was read" in html_study(groups, "search", [])
    head, first, *_ = csv.reader(io.StringIO(to_csv(groups)))
    assert dict(zip(head, first, strict=True)).items() >= {
        "data": "digits", "method": "wgan", "loss.instance.margin": "0.2", "seed": "0",
        "steps": "100.0", "H": "0.7",
    }.items()  # fmt: skip


def test_a_search_without_calibration_ranks_by_uncalibrated_h(tmp_path: Path) -> None:
    settings = (
        "{evaluation.final: false, evaluation.calibration: none, evaluation.selection: validation}"
    )
    grid = "{loss.instance.margin: [0.1, 0.2]}"
    tasks = sweep(tmp_path, base(tmp_path, grid=grid, settings=settings))
    write_selection(tasks[0], 0.6)
    write_selection(tasks[1], 0.3)
    assert [group.point[-3:] for group in collect(tasks)] == ["0.2", "0.1"]


def test_paired_difference_is_scipys(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    one = {seed: float(draw.normal(0.6, 0.05)) for seed in range(6)}
    other = {seed: one[seed] - 0.01 + float(draw.normal(0, 0.01)) for seed in range(2, 6)}
    found = paired_difference(one, other | {99: 0.0})
    assert found is not None
    assert found.seeds == 4
    shared = [[values[seed] for seed in (2, 3, 4, 5)] for values in (one, other)]
    test = scipy.stats.ttest_rel(*shared)
    low, high = test.confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(shared[0]) - np.mean(shared[1]))
    assert found.interval == pytest.approx((low, high))
    assert found.lead.endswith(" *") == (test.pvalue < 0.05)
    assert paired_difference(one, {99: 0.0}) is None
    single = paired_difference(one, {0: 0.0})
    assert single is not None
    assert "*" not in single.lead, "one pair has no interval"


def test_methods_are_compared_on_equal_seeds(tmp_path: Path) -> None:
    tasks = sweep(tmp_path, base(tmp_path, methods="[iapc, wgan, ridge]", seeds="[0, 1, 2]"))
    for task, value in zip(tasks, (0.5, 0.6, 0.7, 0.45, 0.55, 0.64, 0.9), strict=False):
        write_result(task, figures(value))
    groups = collect(tasks)
    iapc, *others = groups
    wgan, ridge = (iapc.less(other, "H") for other in others)
    assert wgan is not None
    assert ridge is not None
    low, high = scipy.stats.ttest_rel([0.5, 0.6, 0.7], [0.45, 0.55, 0.64]).confidence_interval()
    assert wgan.interval == pytest.approx((low, high))
    assert ridge.seeds == 1
    assert "| digits | iapc | wgan | 3 | +5.3 ± 1.4 * |" in markdown_study(groups)
    assert "| digits | iapc | ridge | 1 | -40.0 |" in markdown_study(groups)
    assert "paired t" in html_study(groups, "title", [])


def test_two_seeds_that_say_nothing_are_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = sweep(tmp_path, base(tmp_path, methods="[iapc, wgan]", seeds="[0, 1]"))
    for task, value in zip(tasks, (0.5, 0.6, 0.51, 0.52), strict=True):
        write_result(task, figures(value))
    out = tmp_path / "study.html"
    report_sweep(tasks, tmp_path / "mine.yaml", [out])
    printed = " ".join(capsys.readouterr().out.split())
    assert "± 63.5" not in printed
    assert "51.5 ± 6.4" in printed
    assert TWO_SEEDS in printed
    assert f'role="note">{TWO_SEEDS}' in out.read_text()
    assert str(Estimate.of([0.5, 0.6])) == "55.0 ± ?"
    assert not Estimate.of([0.2, 0.9, 0.1]).says_nothing, "three say how little"


def test_equal_seeds_have_no_width() -> None:
    assert Estimate.of([0.5, 0.5, 0.5]).half_width == 0


def test_runs_of_different_data_are_not_averaged(tmp_path: Path) -> None:
    tasks = sweep(tmp_path, base(tmp_path, seeds="[0, 1]"))
    write_result(tasks[0], figures(0.5))
    write_result(tasks[1], figures(0.5), fingerprint="e" * 64)
    with pytest.raises(InputError, match="another data set"):
        collect(tasks)


def test_states(tmp_path: Path) -> None:
    tasks = sweep(tmp_path, base(tmp_path, seeds="[0, 1, 2, 3]"))
    assert status_of(tasks[0]).state == "missing"
    write_result(tasks[0], figures(0.5))
    assert status_of(tasks[0]).state == "done"
    tasks[1].directory.mkdir()
    RunState("running", -1, "", os.uname().nodename, "7", time.time()).write(tasks[1].directory)
    assert status_of(tasks[1]).state == "interrupted", "nobody holds the lock"
    with pytest.raises(InputError), recorded_state(tasks[1].directory, True):
        raise InputError("no such\nfile")
    failed = status_of(tasks[1])
    assert (failed.state, failed.note) == ("failed", "no such file")
    tasks[2].directory.mkdir()
    RunState("running", -1, "", "elsewhere", "7", time.time()).write(tasks[2].directory)
    assert status_of(tasks[2]).state == "running"
    assert status_of(tasks[2]).note == "on elsewhere, job 7"


def test_a_trial_lists_what_does_something_in_it() -> None:
    both = {"evaluation.temperature": 0.1, "evaluation.weight_decay": 1e-5, "train.seed": 1}
    for classifier, other in (("softmax", "temperature"), ("cosine", "weight_decay")):
        listed = told({"evaluation.classifier": classifier, **both})
        assert len(listed) == 3
        assert not any(line.startswith(f"evaluation.{other}") for line in listed)
    assert len(told(both)) == 3, "the classifier is not the trial's"
