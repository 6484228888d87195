"""The commands on the embedded digits, in real processes."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.store import write_dataset
from gzsl_dist.run.metrics import read_metrics

from . import commands
from .commands import (
    PATIENCE,
    ROOT,
    environment,
    error_line,
    run,
    run_program,
    run_program_stopped,
    run_stopped,
)

SMALL = (*commands.SMALL, "--evaluation.every", "6")
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run on one process, really started."""
    directory = tmp_path_factory.mktemp("runs") / "one"
    done = run_program("train", *SMALL, "--run.dir", directory)
    assert done.returncode == 0, done.stderr
    assert "iapc on digits" in done.stdout
    assert "calibrated" in done.stdout
    phases = (
        "selection: measuring validation classes after step 12",
        "training: step 12/12",
        "fitting the classifier of 10 classes",
        "measuring 791 test rows",
        "comparing with nearest_prototype, drawing pictures",
    )
    places = [done.stdout.find(phase) for phase in phases]
    assert -1 not in places, "no phase is silent"
    assert places == sorted(places)
    return directory


def result_of(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "result.json").read_text())


def weights_of(directory: Path, step: int = 12) -> dict[str, np.ndarray]:
    return load_file(directory / "checkpoints" / f"step-{step:08d}" / "networks.safetensors")


def losses_of(directory: Path) -> list[dict[str, float]]:
    return [
        {key: value for key, value in line.items() if "loss" in key or key == "step"}
        for line in read_metrics(directory / "metrics.jsonl")
    ]


def test_run_directory_holds_what_the_design_says(finished: Path) -> None:
    result = result_of(finished)
    for name in ("U", "S", "H", "T1", "AUSUC"):
        assert 0 <= result[name] <= 1
    assert set(result["raw"]) == {"U", "S", "H"}
    u, s = result["U"], result["S"]
    assert result["H"] == pytest.approx(2 * u * s / (u + s) if u + s else 0)
    assert np.mean(list(result["per_class"]["unseen"].values())) == pytest.approx(u)
    assert np.mean(list(result["per_class"]["seen"].values())) == pytest.approx(s)
    assert result["steps"] == 12
    assert result["dataset"]["name"] == "digits"
    assert len(result["dataset"]["fingerprint"]) == 64
    steps = [line["step"] for line in read_metrics(finished / "metrics.jsonl")]
    assert steps == [3, 6, 9, 12]
    for line in read_metrics(finished / "metrics.jsonl"):
        assert np.isfinite(line["critic/total_loss"])
        assert np.isfinite(line["generator/total_loss"])
    saved = sorted(path.name for path in (finished / "checkpoints").iterdir())
    assert saved == ["step-00000010", "step-00000012"]
    assert yaml.safe_load((finished / "config.yaml").read_text())["train"]["steps"] == 12


def test_tensorboard_shows_the_losses(finished: Path) -> None:
    events = EventAccumulator(str(finished / "tensorboard")).Reload()
    logged = read_metrics(finished / "metrics.jsonl")
    shown = events.Scalars("critic/prototype_loss")
    assert [event.step for event in shown] == [line["step"] for line in logged]
    assert [event.value for event in shown] == pytest.approx(
        [line["critic/prototype_loss"] for line in logged], rel=1e-5
    )


def test_validation_chose_the_calibration_factor(finished: Path) -> None:
    selection = json.loads((finished / "selection" / "selection.json").read_text())
    lines = read_metrics(finished / "selection" / "metrics.jsonl")
    validated = [line for line in lines if "validation/H" in line]
    assert [line["step"] for line in validated] == [6, 12]
    assert selection["calibration_factor"] == validated[-1]["validation/calibration_factor"]
    assert result_of(finished)["calibration"] == {
        "mode": "validation",
        "factor": selection["calibration_factor"],
    }


def test_a_search_stops_before_the_test_rows_and_can_go_on(finished: Path, tmp_path: Path) -> None:
    directory = tmp_path / "search"
    search = run("train", *SMALL, "--run.dir", directory, "--evaluation.final", "false")
    assert search.returncode == 0, search.stderr
    chosen = (directory / "selection" / "selection.json").read_text()
    assert chosen == (finished / "selection" / "selection.json").read_text()
    assert not (directory / "result.json").exists()
    assert not (directory / "checkpoints").exists()
    final = run("train", *SMALL, "--run.dir", directory)
    assert final.returncode == 0, final.stderr
    assert result_of(directory)["H"] == result_of(finished)["H"]


def test_the_resolved_configuration_repeats_the_run(finished: Path, tmp_path: Path) -> None:
    done = run("train", "--config", finished / "config.yaml", "--run.dir", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    assert losses_of(tmp_path / "again") == losses_of(finished)
    again, first = weights_of(tmp_path / "again"), weights_of(finished)
    assert all((again[name] == first[name]).all() for name in first)


@pytest.mark.parametrize(("processes", "start"), [(2, run_program), (4, run)])
def test_any_number_of_processes_gives_the_same_run(
    finished: Path, tmp_path: Path, processes: int, start: Callable[..., Done]
) -> None:
    """Two by torchrun; four are forked."""
    directory = tmp_path / "several"
    done = start("train", *SMALL, "--run.dir", directory, processes=processes)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("iapc on digits:") == 1
    for ours, theirs in zip(losses_of(directory), losses_of(finished), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-11)
    ours, theirs = weights_of(directory), weights_of(finished)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-10, err_msg=name)
    one, several = result_of(finished), result_of(directory)
    assert (several["strategy"], several["world_size"]) == ("ddp", processes)
    for name in ("U", "S", "H", "T1", "AUSUC", "raw", "per_class"):
        assert several[name] == one[name]
    assert several["calibration"]["factor"] == pytest.approx(one["calibration"]["factor"])


@pytest.mark.parametrize("step", [4, 12])
def test_a_stopped_run_resumes_to_the_same_weights(
    finished: Path, tmp_path: Path, step: int
) -> None:
    directory = tmp_path / "stopped"
    arguments = [*SMALL, "--run.dir", directory, "--log.every", "1"]
    stopped = run_stopped(12 + step, "SIGTERM", *arguments)  # 12 steps of selection before
    assert stopped.returncode == 75, stopped.stderr
    told = f"stopped by a signal after step {step} of 12; a checkpoint was saved, the same command"
    assert stopped.stderr == f"{told} resumes\n"
    done = run("train", *arguments)
    assert done.returncode == 0, done.stderr
    assert f"training: resuming after step {step} of 12" in done.stdout
    steps = list(range(1, 13))
    assert [line["step"] for line in read_metrics(directory / "metrics.jsonl")] == steps
    events = EventAccumulator(str(directory / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("critic/total_loss")] == steps
    resumed, whole = weights_of(directory), weights_of(finished)
    assert all((resumed[name] == whole[name]).all() for name in whole)


def test_stopped_in_selection_on_two_processes_and_resumed_on_one(
    finished: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "stopped"
    arguments = [*SMALL, "--run.dir", directory]
    stopped = run_program_stopped(4, "SIGUSR1", *arguments, processes=2)  # only one of them is told
    told = [line for line in stopped.stderr.splitlines() if line.startswith("stopped by")]
    assert len(told) == 1, stopped.stderr
    assert "stopped by a signal after step 4 of 12" in told[0], "no failure, so no `error:`"
    assert (directory / "selection" / "checkpoints" / "step-00000004").is_dir()
    done = run("train", *arguments)
    assert done.returncode == 0, done.stderr
    assert "selection: resuming after step 4 of 12" in done.stdout
    for name in ("U", "S", "H", "T1", "AUSUC"):
        assert result_of(directory)[name] == result_of(finished)[name]


def test_ctrl_c_saves_ends_in_one_line_and_resumes(tmp_path: Path) -> None:
    arguments = [*SMALL, "--run.dir", tmp_path / "r", "--evaluation.calibration", "none"]
    stopped = run_stopped(7, "SIGINT", *arguments)
    assert stopped.returncode == 130
    line = "training: interrupted after step 7 of 12; a checkpoint was saved, the same command"
    assert stopped.stderr == f"{line} resumes\n"
    done = run("train", *arguments)
    assert done.returncode == 0, done.stderr
    assert "training: resuming after step 7 of 12" in done.stdout


def test_ctrl_c_at_one_of_two_processes_saves_and_is_told_once(tmp_path: Path) -> None:
    arguments = [*SMALL, "--run.dir", tmp_path / "r", "--evaluation.calibration", "none"]
    stopped = run_stopped(7, "SIGINT", *arguments, processes=2)
    assert stopped.stderr.count("interrupted after step 7 of 12") >= 1
    lines = [line for line in stopped.stderr.splitlines() if line.startswith("training: ")]
    assert len(lines) == 1, stopped.stderr
    assert "error: " not in stopped.stderr
    assert (tmp_path / "r" / "checkpoints" / "step-00000007").is_dir()


def test_ctrl_c_outside_of_steps_ends_in_one_line(tmp_path: Path) -> None:
    arguments = [*SMALL, "--run.dir", tmp_path / "r", "--evaluation.calibration", "none"]
    stopped = run_stopped(0, "SIGINT", *arguments)
    assert stopped.returncode == 130
    assert stopped.stderr.startswith("interrupted between training steps; the same command")
    assert stopped.stderr.count("\n") == 1
    state = json.loads((tmp_path / "r" / "state.json").read_text())
    assert (state["state"], state["exit_code"]) == ("preempted", 130)


def test_a_finished_run_is_not_run_again(finished: Path) -> None:
    before = (finished / "result.json").stat().st_mtime_ns
    done = run("train", *SMALL, "--run.dir", finished)
    assert done.returncode == 0, done.stderr
    assert "finished" in done.stdout
    assert (finished / "result.json").stat().st_mtime_ns == before


def test_selection_may_choose_the_length(tmp_path: Path) -> None:
    done = run("train", *SMALL, "--run.dir", tmp_path / "r", "--evaluation.selection", "validation")
    assert done.returncode == 0, done.stderr
    lines = read_metrics(tmp_path / "r" / "selection" / "metrics.jsonl")
    best = max(
        (line for line in lines if "validation/H" in line), key=lambda line: line["validation/H"]
    )
    assert result_of(tmp_path / "r")["steps"] == best["step"]


def test_without_validation_only_the_final_training_runs(tmp_path: Path) -> None:
    done = run("train", *SMALL, "--run.dir", tmp_path / "r", "--evaluation.calibration", "none")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "r" / "selection").exists()
    result = result_of(tmp_path / "r")
    assert {name: result[name] for name in "USH"} == result["raw"]


@pytest.mark.parametrize("method", ["ce_gzsl", "wgan", "proxy_anchor", "supcon", "ridge"])
def test_other_methods_run(method: str, tmp_path: Path) -> None:
    arguments = ["--method", method, "--evaluation.calibration", "none"]
    done = run("train", *SMALL, "--run.dir", tmp_path / method, *arguments)
    assert done.returncode == 0, done.stderr
    assert result_of(tmp_path / method)["method"] == method


def test_zero_3_trains_selects_and_measures_as_one_process(tmp_path: Path) -> None:
    """float32, so equal up to rounding only; DeepSpeed's optimizers know no float64."""
    pytest.importorskip("deepspeed")
    common = [*SMALL, "--train.precision", "float32"]
    zero = ["--train.strategy", "deepspeed"]
    zero += ["--train.deepspeed_config", str(ROOT / "configs" / "deepspeed" / "zero3.yaml")]
    assert run("train", *common, "--run.dir", tmp_path / "one").returncode == 0
    done = run("train", *common, *zero, "--run.dir", tmp_path / "two", processes=2)
    assert done.returncode == 0, done.stderr
    assert "deepspeed, ZeRO 3" in done.stdout
    for ours, theirs in zip(losses_of(tmp_path / "two"), losses_of(tmp_path / "one"), strict=True):
        assert ours == pytest.approx(theirs, rel=5e-3, abs=1e-3)
    one, two = result_of(tmp_path / "one"), result_of(tmp_path / "two")
    assert two["AUSUC"] == pytest.approx(one["AUSUC"], abs=0.02)


@pytest.mark.parametrize("source", ["learned", "ema"])
def test_other_prototypes_and_half_precision_run(source: str, tmp_path: Path) -> None:
    arguments = ["--loss.prototype.source", source, "--train.precision", "bfloat16"]
    done = run(
        "train", *SMALL, "--run.dir", tmp_path / "r", "--evaluation.calibration", "none", *arguments
    )
    assert done.returncode == 0, done.stderr


def test_synthesize_and_evaluate_repeat_the_result(finished: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank.h5"
    done = run_program("synthesize", "--run", finished, "--out", bank, "--per-class", 20)
    assert done.returncode == 0, done.stderr
    with h5py.File(bank) as file:
        assert file["features"].shape[0] == 20 * len(np.unique(file["labels"]))
        assert file.attrs["step"] == 12
    again = error_line(run("synthesize", "--run", finished, "--out", bank, "--per-class", 20))
    assert "exists already" in again
    for index, (start, *extra) in enumerate(([run_program], [run, "--bank", bank])):
        out = tmp_path / f"{index}.json"
        done = start("evaluate", "--run", finished, "--out", out, *extra)
        assert done.returncode == 0, done.stderr
        measured = json.loads(out.read_text())
        for name in ("U", "S", "H", "T1", "AUSUC", "raw", "per_class"):
            assert measured[name] == result_of(finished)[name], name


def test_a_bank_that_does_not_fit_is_refused(finished: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank.h5"
    assert run("synthesize", "--run", finished, "--out", bank, "--per-class", 2).returncode == 0
    spoiled = tmp_path / "spoiled.h5"
    shutil.copy(bank, spoiled)
    with h5py.File(spoiled, "r+") as file:
        file["scaling/minimum"][0] = 7
    line = error_line(run("evaluate", "--run", finished, "--bank", spoiled))
    assert "damaged or edited" in line


def test_report_shows_the_figures(finished: Path, tmp_path: Path) -> None:
    for name, start in (("report.html", run_program), ("report.md", run)):
        done = start("report", finished, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
        text = (tmp_path / name).read_text()
        assert f"{100 * result_of(finished)['H']:.1f}" in text
    assert run("report", finished, "--out", tmp_path / "report.png").returncode == 0
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_divergence_ends_with_3_and_names_loss_and_step(tmp_path: Path) -> None:
    done = run(
        "train", *SMALL, "--run.dir", tmp_path / "r", "--train.learning_rate", "1e30",
        "--evaluation.calibration", "none", "--train.precision", "float32",
    )  # fmt: skip
    line = error_line(done, 3)
    assert "diverged" in line
    assert "_loss is " in line
    assert "at step " in line
    assert not list((tmp_path / "r").glob("checkpoints/*"))
    assert not (tmp_path / "r" / "result.json").exists()


def test_another_configuration_in_the_same_directory_is_refused(finished: Path) -> None:
    line = error_line(run("train", *SMALL, "--run.dir", finished, "--train.seed", 5))
    assert "train.seed = 0, not 5; use another --run.dir, or --train.resume never" in line


def test_no_write_permission() -> None:
    """Not even root may make a folder in /proc."""
    line = error_line(run("train", *SMALL, "--run.dir", "/proc/gzsl_dist"))
    assert "run directory /proc/gzsl_dist: cannot be written" in line
    assert "--run.dir" in line


@pytest.mark.parametrize("remains", ["result.json", "checkpoints/step-00000012"])
def test_a_directory_without_its_configuration_is_not_adopted(
    finished: Path, tmp_path: Path, remains: str
) -> None:
    directory = tmp_path / "r"
    directory.mkdir()
    (directory / Path(remains).parent).mkdir(exist_ok=True)
    copy = shutil.copytree if (finished / remains).is_dir() else shutil.copy
    copy(finished / remains, directory / remains)
    line = error_line(run("train", *SMALL, "--run.dir", directory))
    assert "without its config.yaml" in line


def test_a_selection_or_result_of_other_data_is_refused(finished: Path, tmp_path: Path) -> None:
    directory = tmp_path / "r"
    shutil.copytree(finished, directory)
    for name in ("result.json", "selection/selection.json"):
        text = (directory / name).read_text()
        fingerprint = result_of(finished)["dataset"]["fingerprint"]
        (directory / name).write_text(text.replace(fingerprint, "f" * 64))
        line = error_line(run("train", *SMALL, "--run.dir", directory))
        assert "fingerprint ffffffffffff" in line
        (directory / name).unlink()


def test_a_failure_of_another_process_is_told(tmp_path: Path) -> None:
    """Rank 1 alone lacks the file; torchrun's own lines follow ours."""
    program = tmp_path / "train.py"
    program.write_text(
        "import os, sys\n"
        "from gzsl_dist.command import run_command\n"
        "from gzsl_dist.train import main\n"
        f"os.chdir({str(tmp_path)!r} + '/' + os.environ['RANK'])\n"
        "run_command(main, [*sys.argv[1:], '--data.path', 'data.h5'])\n"
    )
    for rank in "01":
        (tmp_path / rank).mkdir()
    write_dataset(tmp_path / "0" / "data.h5", digits_dataset())
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
         str(program), *SMALL, "--run.dir", str(tmp_path / "r")],
        capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, check=False,
        env=environment() | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    place = f"process 1 on {socket.gethostname()}"
    assert lines == [f"error: {place}: data.h5: no such file; check the path"]


def test_a_file_in_the_way_of_the_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = error_line(run("train", *SMALL, "--run.dir", tmp_path / "file" / "r"))
    assert "cannot be written" in line


def test_a_damaged_checkpoint_is_named(finished: Path, tmp_path: Path) -> None:
    directory = tmp_path / "r"
    folder = directory / "checkpoints" / "step-00000012"
    folder.mkdir(parents=True)
    (directory / "config.yaml").write_text((finished / "config.yaml").read_text())
    line = error_line(run("evaluate", "--run", directory))
    assert "step-00000012" in line


@pytest.mark.parametrize(
    ("module", "arguments", "words"),
    [
        ("train", ["--data.path", "missing.h5"], "missing.h5"),
        ("train", ["--config", "missing.yaml"], "missing.yaml"),
        ("train", ["--train.strategy", "ddp"], "torchrun"),
        ("train", ["--train.batch_size", "1"], "train.batch_size"),
        ("evaluate", ["--run", "missing"], "missing"),
        ("evaluate", [], "--run"),
        ("synthesize", ["--run", "r", "--out", "b.h5", "--per-class", "0"], "per-class"),
        ("synthesize", ["--run", "r", "--out", "b.h5", "--per-class", "5"], "config.yaml"),
        ("report", ["missing", "--out", "r.html"], "missing"),
        ("report", ["missing", "--out", "r.pdf"], ".html, .md, .tex, .png"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    module: str, arguments: list[str], words: str, tmp_path: Path
) -> None:
    extra = ["--run.dir", str(tmp_path / "r")] if module == "train" else []
    assert words in error_line(run(module, *arguments, *extra))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "module", ["train", "prepare", "simulate", "synthesize", "evaluate", "report"]
)
def test_help_needs_no_torch(module: str) -> None:
    done = run_program(module, "--help")
    assert done.returncode == 0
    assert "usage:" in done.stdout
    code = f"import sys, gzsl_dist.{module}; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
