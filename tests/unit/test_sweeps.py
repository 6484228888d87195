"""Sweeps: from the file to tasks, what is refused, and figures over seeds."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import scipy.stats

from gzsl_dist.errors import InputError
from gzsl_dist.run_names import run_name
from gzsl_dist.sweeps.collect import Estimate, collect, to_csv, to_html, to_markdown
from gzsl_dist.sweeps.plan import Task, read_sweep
from gzsl_dist.sweeps.status import status_of
from gzsl_dist.training.run_state import RunState, recorded_state

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "configs" / "digits.yaml"


def sweep(folder: Path, text: str) -> list[Task]:
    file = folder / "mine.yaml"
    file.write_text(text)
    return read_sweep(file)


def base(folder: Path, **more: str) -> str:
    parts = {"data": f"{{digits: {DIGITS}}}", "dir": str(folder / "runs")} | more
    return "".join(f"{key}: {value}\n" for key, value in parts.items())


@pytest.mark.parametrize("file", sorted((ROOT / "configs" / "sweeps").glob("*.yaml")))
def test_the_sweeps_that_are_shipped_are_sound(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert len(read_sweep(file)) >= 4


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
    estimate = iapc.estimates["H"]
    assert estimate.mean == pytest.approx(0.525)
    assert estimate.mean - estimate.half_width == pytest.approx(low)
    assert estimate.mean + estimate.half_width == pytest.approx(high)
    assert (wgan.seeds, wgan.planned, str(wgan.estimates["H"])) == ((0,), 4, "25.0")
    rows = list(csv.DictReader(io.StringIO(to_csv([iapc, wgan]))))
    assert float(rows[0]["H_high"]) == pytest.approx(high, abs=1e-6)
    assert rows[1]["H_high"] == ""
    assert "| digits | wgan | – | 1 of 4 | 25.0 |" in to_markdown([iapc, wgan])
    page = to_html([iapc, wgan], "a <b>")
    assert "a &lt;b&gt;" in page
    assert "http" not in page


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


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "gzsl_dist.sweep", *map(str, arguments)]


def test_a_sweep_here_stops_goes_on_and_tells_failures(tmp_path: Path) -> None:
    """Ctrl-C lets the tasks save; the same command goes on; a failed task gives exit code 1."""
    file = tmp_path / "mine.yaml"
    file.write_text(
        base(tmp_path, methods="[wgan]", seeds="[0, 1]",
             settings="{train.steps: 1500, train.batch_size: 16, log.every: 5, "
             "evaluation.calibration: none}")
    )  # fmt: skip
    process = subprocess.Popen(
        command("run", file, "--jobs", 2), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=ROOT,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "runs").glob("*/metrics.jsonl"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 75, stderr
    assert stdout.count("stopped after saving") == 2, stdout
    again = subprocess.run(
        command("run", file, "--jobs", 2), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count(": done in ") == 2
    (tmp_path / "runs" / "digits-wgan-seed1" / "result.json").unlink()
    (tmp_path / "runs" / "digits-wgan-seed1" / "config.yaml").unlink()
    failed = subprocess.run(
        command("run", file), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert failed.returncode == 1
    assert "digits-wgan-seed0: done already, skipped" in failed.stdout
    assert "without its config.yaml" in failed.stdout
    assert failed.stderr.count("\n") == 1
