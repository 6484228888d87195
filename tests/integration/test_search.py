"""`gzsl search`: equal trials, repeatable and resumable, no test row, settings that train takes."""

from __future__ import annotations

import csv
import json
import signal
import socket
import time
from pathlib import Path

import pytest
import yaml

from gzsl_dist import search
from gzsl_dist.config import Config
from gzsl_dist.errors import InputError
from gzsl_dist.run.state import RunState
from gzsl_dist.sweeps.search import Search

from .commands import SMALL, error_line, run, start

FAST = (*SMALL, "--train.steps", "3", "--evaluation.every", "3")
SPACE = """
train.learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}
loss.generator.prototype: {low: 0.1, high: 1.0}
model.noise_dim: {low: 8, high: 16}
model.anchor: [none, ridge]
"""


def options(folder: Path, trials: int, space: str = SPACE, *more: object) -> tuple[object, ...]:
    file = folder / "space.yaml"
    file.write_text(space)
    place = ("--run.dir", folder / "run", "--space", file, "--trials", trials)
    return (*FAST, *place, "--quiet", *more)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "run" / "search" / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_two_methods_get_equal_trials_and_the_best_can_be_trained(tmp_path: Path) -> None:
    ran = run("search", *options(tmp_path, 2, SPACE, "--methods", "iapc,ce_gzsl"))
    assert ran.returncode == 0, ran.stderr
    found = rows(tmp_path)
    assert [(row["method"], row["trial"]) for row in found] == [
        ("iapc", "0"), ("iapc", "1"), ("ce_gzsl", "0"), ("ce_gzsl", "1"),
    ]  # fmt: skip
    assert {row["state"] for row in found} == {"done"}
    assert "4 trials: 4 done; gzsl train --config" in ran.stdout
    # a weight of a loss that the method lacks is not tried; ce_gzsl is the preset, not iapc's
    assert found[1]["loss.generator.prototype"]
    assert not found[3]["loss.generator.prototype"]
    folder = tmp_path / "run" / "search"
    weights = yaml.safe_load((folder / "best-ce_gzsl.yaml").read_text())["loss"]["generator"]
    assert weights == {"prototype": 0.0, "instance": 0.001, "comparator": 0.001}
    for trial in folder.glob("*-0*/"):  # no test row was read
        assert not (trial / "result.json").exists()
        assert not (trial / "selection" / "checkpoints").exists(), "trials must not fill the disk"

    trained = run("train", "--config", folder / "best.yaml")
    assert trained.returncode == 0, trained.stderr
    best = max(found, key=lambda row: float(row["validation_H"]))
    selection = json.loads((tmp_path / "run-best" / "selection" / "selection.json").read_text())
    assert selection["validation"]["H"] == pytest.approx(float(best["validation_H"]), abs=1e-12)
    assert (tmp_path / "run-best" / "result.json").is_file()


def test_killed_and_started_again_it_ends_as_uninterrupted(tmp_path: Path) -> None:
    """Also where more trials are asked for: what a trial draws depends on those before it alone."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    assert run("search", *options(whole, 3)).returncode == 0
    assert run("search", *options(parts, 1)).returncode == 0
    first = parts / "run" / "search" / "iapc-0000" / "selection" / "selection.json"
    written = first.stat().st_mtime_ns

    killed = start(["-m", "gzsl_dist.search", *options(parts, 3)])
    trial = parts / "run" / "search" / "iapc-0001" / "state.json"
    deadline = time.monotonic() + 120
    while not trial.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.end(60).returncode == -signal.SIGKILL
    assert len([row for row in rows(parts) if row["state"] == "done"]) == 1

    assert run("search", *options(parts, 3)).returncode == 0
    assert first.stat().st_mtime_ns == written, "a finished trial was done again"
    assert rows(parts) == rows(whole)
    assert len(rows(parts)) == 3


def test_two_jobs_share_the_trials(tmp_path: Path) -> None:
    both = [start(["-m", "gzsl_dist.search", *options(tmp_path, 4)]) for _ in range(2)]
    for job in both:
        ended = job.end(300)
        assert ended.returncode == 0, ended.stderr
    assert [(row["trial"], row["state"]) for row in rows(tmp_path)] == [
        (str(number), "done") for number in range(4)
    ]
    assert not list((tmp_path / "run" / "search").glob("*-0*.lock")), "every trial was released"


def test_two_processes_train_each_trial_together(tmp_path: Path) -> None:
    ran = run("search", *options(tmp_path, 2), processes=2)
    assert ran.returncode == 0, ran.stderr
    alone = tmp_path / "alone"
    alone.mkdir()
    assert run("search", *options(alone, 2)).returncode == 0
    for one, two in zip(rows(alone), rows(tmp_path), strict=True):
        assert float(one["validation_H"]) == pytest.approx(float(two["validation_H"]), abs=1e-9)


def test_trials_that_fail_are_told_and_counted(tmp_path: Path) -> None:
    """Diverged ones; and a job that was killed again and again."""
    space = "train.learning_rate: {low: 1.0e+29, high: 1.0e+30}\n"
    shown = [each for each in options(tmp_path, 2, space) if each != "--quiet"]
    ran = run("search", *shown, "--train.precision", "float32")
    assert ran.returncode == 0, ran.stderr
    assert "search: 2 trials of iapc in" in ran.stdout
    assert "; 1 left, about " in ran.stdout
    done, failed = rows(tmp_path)
    assert (done["state"], failed["state"]) == ("done", "failed")
    assert "diverged" in failed["reason"]
    assert "2 trials: 1 done, 1 failed" in ran.stdout

    other = ("--trials", 2, "--train.batch_size", 16)
    refused = run("search", *options(tmp_path, 2, space, "--train.precision", "float32", *other))
    assert "holds a search of iapc with train.batch_size = 32, not 16" in error_line(refused)


def test_a_trial_that_kills_its_job_is_given_up(tmp_path: Path) -> None:
    config = Config.model_validate({"run": {"dir": str(tmp_path)}})
    claimed = []
    for _ in range(5):
        job = Search({"iapc": config}, {"model.anchor": ["none", "ridge"]}, trials=2)
        job.open()
        claimed.append((job.claim() or ("", -1, {}))[1])
        if claimed[-1] == 0:
            directory = job.config(("iapc", 0, {})).run_dir
            host = socket.gethostname()
            RunState("running", -1, "", host, "", time.time()).write(directory)
        assert job._held is not None
        job._held.close()  # as the end of its process does
    assert claimed == [0, 0, 0, 1, 1]
    assert "was killed 3 times" in (tmp_path / "search" / "trials.csv").read_text()


def test_it_says_what_it_will_run_and_how_long_it_takes(tmp_path: Path) -> None:
    settings = {"run": {"dir": str(tmp_path)}, "evaluation": {"folds": 3}}
    config = Config.model_validate(settings | {"train": {"precision": "float64"}})
    job = Search({"iapc": config}, {"model.anchor": ["none", "ridge"]}, trials=3)
    assert "3 training(s) (evaluation.folds) of 400 steps in float64" in job.plan
    job.open()
    claimed = job.claim()
    assert claimed is not None
    assert job.left(40) == "; 2 left, about 1 min 20 s"
    job.tell(claimed, "diverged")
    for _ in range(2):
        job.tell(job.claim() or claimed, "diverged")
    assert job.left(40) == ""


@pytest.mark.parametrize(
    ("space", "more", "words"),
    [
        (
            "model.ancor: [none, ridge]",
            [],
            "model.ancor; did you mean model.anchor",
        ),
        ("train.seed: [0, 1]", [], "train.seed: the same in all trials"),
        ("train.ema: [0.9]", [], "train.ema: give two choices or more"),
        ("train.ema: {low: 0.9}", [], "train.ema: give two choices or more"),
        ("train.ema: {low: 0.0, high: 0.5, log: true}", [], "and above 0 with log"),
        (
            "model.anchor: [none, rich]",
            [],
            "(--space): model.anchor = 'rich': Input should be 'none', 'ridge' or 'kernel_ridge'",
        ),
        ("train.ema: {low: 0.5, high: 1.5}", [], "(--space): train.ema = 1.5: "),
        ("", [], "no settings in it"),
        (SPACE, ["--methods", "ridge"], "ridge has nothing to search"),
        (SPACE, ["--method", "nearest_prototype"], "; gzsl train --method nearest_prototype"),
        (SPACE, ["--methods", "iapc,none"], "--methods none: "),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    space: str, more: list[str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as told:
        search.main([str(each) for each in options(tmp_path, 2, space, *more)])
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_without_optuna_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'gzsl_dist\[search\]'"):
        search.main([str(each) for each in options(tmp_path, 2)])
