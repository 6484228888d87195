"""What a cluster job asks before it starts."""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gzsl_dist import job, sweep, train
from gzsl_dist.config.command_line import config_from_arguments
from gzsl_dist.config.files import to_yaml
from gzsl_dist.errors import InputError
from gzsl_dist.run.state import lock_run

CLUSTER = Path(__file__).parents[2] / "cluster"


@pytest.mark.parametrize("written", ["'{}'", "{}   # features", '"{}"'])
def test_the_first_configuration_whose_data_are_there_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: str
) -> None:
    """However its path is written: with quotes, or with a comment behind it."""
    data, files = tmp_path / "second.h5", []
    for name in ("first", "second"):
        files.append(tmp_path / f"{name}.yaml")
        path = written.format(tmp_path / f"{name}.h5")
        files[-1].write_text(f"method: iapc\ndata:\n  path: {path}\n")
    job.main(["--choose-config", *map(str, files)])
    assert capsys.readouterr().out == f"{files[0]}\n", "none there: the first"
    data.touch()
    job.main(["--choose-config", *map(str, files)])
    assert capsys.readouterr().out == f"{files[1]}\n"


@pytest.mark.parametrize(("visible", "count"), [("0,1", 2), ("0,NoDevFiles,1", 1)])
def test_what_is_no_device_is_not_counted_as_a_gpu(visible: str, count: int) -> None:
    script = Path(__file__).parents[2] / "cluster" / "train_digits.sbatch"
    slurm = {name for name in os.environ if name.startswith("SLURM_")} | {"PROCESSES"}
    kept = {name: value for name, value in os.environ.items() if name not in slurm}
    done = subprocess.run(
        ["bash", script, "--dry-run"], capture_output=True, text=True, timeout=100, check=False,
        env=kept | {"CUDA_VISIBLE_DEVICES": visible},
    )  # fmt: skip
    assert f"a node runs  {count} process(es)" in done.stdout


def test_a_node_that_cannot_write_the_run_directory_trains(tmp_path: Path) -> None:
    """As where that directory is the first node's alone."""
    needed = {
        "GZSL_SIGNAL": "USR1", "GZSL_NODES": "2", "GZSL_PROCESSES": "1", "GZSL_MAX_RESTARTS": "0",
        "GZSL_MASTER_ADDR": "first", "GZSL_MASTER_PORT": "1", "SLURM_JOB_ID": "1",
        "SLURM_NODEID": "1", "SLURMD_NODENAME": "second",
    }  # fmt: skip
    node = ("bash", CLUSTER / "node.sh", "echo", "-m", "torch.distributed.run", "--train.steps")
    for folder, written in ((tmp_path, True), (tmp_path / "missing", False)):
        done = subprocess.run(
            node, capture_output=True, text=True, timeout=100, check=False,
            env=os.environ | needed | {"GZSL_OUTCOME_FILE": str(folder / "outcome")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("-m gzsl_dist.train --train.steps\n")
        assert not done.stderr
        assert (folder / "outcome.node-1").exists() == written


def test_signals_wait_for_all_nodes_but_not_for_files_that_never_come(tmp_path: Path) -> None:
    script = f"""
        clone={CLUSTER.parent} script=train.sbatch
        source "$clone/cluster/job.sh"
        outcome={tmp_path}/outcome first_seen="" GZSL_NODES=2
        tell() {{ all_nodes_started && echo yes || echo no; }}
        tell
        SECONDS=$((SECONDS + 100)); tell   # none runs yet
        touch "$outcome.node-0"; tell
        touch "$outcome.node-1"; tell
        rm "$outcome.node-1"; tell
        SECONDS=$((SECONDS + 20)); tell    # the other's is not seen from here
    """
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.split() == ["no", "no", "no", "yes", "no", "yes"], done.stderr


@pytest.mark.parametrize("script", ["extract", "synthesize", "evaluate"])
def test_a_dry_run_ends_with_its_verdict(script: str, tmp_path: Path) -> None:
    """Here Slurm is missing, or nothing is."""
    file = Path(__file__).parents[2] / "cluster" / f"{script}.sbatch"
    of_run = [] if script == "extract" else ["--run", earlier_run(tmp_path / "run")]
    done = subprocess.run(
        ["bash", file, "--dry-run", *of_run],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    told = done.stdout.splitlines()
    assert any(line.startswith("command") and "--dry-run" not in line for line in told)
    assert not list(tmp_path.glob("run/.*")), "nothing is started"
    last = (done.stdout + done.stderr).splitlines()[-1]
    assert last.startswith("missing      ") or last == "nothing is missing"
    assert done.returncode == (0 if last == "nothing is missing" else 2)


def earlier_run(directory: Path, **given: str) -> Path:
    """A run directory as a start leaves it, of the digits with settings given."""
    directory.mkdir(parents=True)
    arguments = argparse.Namespace(config=None, **given)
    (directory / "config.yaml").write_text(to_yaml(config_from_arguments(arguments, [])))
    return directory


def dry_runs(run: Path, tmp_path: Path) -> dict[str, tuple[Callable[[list[str]], int], list[str]]]:
    """Each command that says what would run, of a run or a sweep with 400 steps in a directory."""
    plan = tmp_path / "sweep.yaml"
    plan.write_text(f"data: {{digits: configs/digits.yaml}}\nmethods: [iapc]\ndir: {run.parent}\n")
    return {
        "train": (train.main, ["--dry-run", "--plan.world-size", "1", "--run.dir", str(run)]),
        "job": (job.main, ["--run.dir", str(run)]),
        "sweep": (sweep.main, ["run", str(plan), "--dry-run"]),
    }


@pytest.fixture(params=["train", "job", "sweep"])
def dry_run(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Callable[[], int]]:
    """A run directory that is not there yet, and a dry run of it."""
    monkeypatch.chdir(Path(__file__).parents[2])
    run = tmp_path / "digits-iapc-seed0"
    main, arguments = dry_runs(run, tmp_path)[request.param]
    return run, lambda: main(arguments)


def test_a_dry_run_refuses_what_the_run_would_refuse(
    dry_run: tuple[Path, Callable[[], int]],
) -> None:
    run, start = dry_run
    assert start() == 0
    assert not run.exists(), "a dry run writes nothing"
    earlier_run(run, **{"train.steps": "20", "train.batch_size": "64"})
    with pytest.raises(InputError) as refused:
        start()
    assert f"run directory {run} holds a run with train.steps = 20, not " in str(refused.value)
    assert "; train.batch_size = 64, not 128; " in str(refused.value)
    assert "--run.dir" in str(refused.value)
    assert "--train.resume never" in str(refused.value)


def test_a_dry_run_refuses_a_run_directory_that_is_a_file(
    dry_run: tuple[Path, Callable[[], int]],
) -> None:
    run, start = dry_run
    run.touch()
    with pytest.raises(InputError, match=r"cannot be written .*; name another with --run\.dir"):
        start()


def test_what_a_start_would_do_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    arguments = ["--dry-run", "--plan.world-size", "1", "--run.dir", str(run)]
    for prepare, how in (
        (lambda: None, "new"),
        (lambda: earlier_run(run), "an earlier start is resumed"),
        ((run / "result.json").touch, "finished already"),
    ):
        prepare()
        train.main(arguments)
        assert capsys.readouterr().out.endswith(f"run directory {run}: {how}\n")
    other = [*arguments, "--train.steps", "7", "--train.resume", "never"]
    train.main(other)
    assert "the earlier run there is moved aside" in capsys.readouterr().out
    with lock_run(run), pytest.raises(InputError, match="in use by another job"):
        train.main(arguments)
    with lock_run(run), pytest.raises(InputError, match=r"train\.steps = 100, not 7"):
        train.main([*arguments, "--train.steps", "7"])  # for which waiting would be in vain


def test_a_batch_of_many_times_the_rows_is_refused(tmp_path: Path) -> None:
    """Before a step of hours; by the dry run too."""
    arguments = ["--run.dir", str(tmp_path / "run"), "--train.batch_size", "100000"]
    for dry in (["--dry-run", "--plan.world-size", "1"], []):
        with pytest.raises(InputError, match=r"100000 is 99 times the 1006 training rows: a step"):
            train.main([*arguments, *dry])
