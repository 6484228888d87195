"""Banks through the real commands, on one and two processes."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from gzsl_dist import evaluate, predict
from gzsl_dist.data.digits import digits_dataset

from .commands import PATIENCE, ROOT, SMALL, command, environment, error_line, run, run_program

FIXED = (*SMALL, "--evaluation.calibration", "none")
UNSEEN = "3"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "run"
    done = run("train", *FIXED, "--run.dir", directory)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def bank(trained: Path) -> Path:
    path = trained.parent / "bank.h5"
    done = synthesize(trained, path, "--block-rows", 32, "--embeddings", processes=2)
    assert done.returncode == 0, done.stderr
    return path


def synthesize(
    trained: Path, out: Path, *options: object, per_class: int = 50, processes: int = 1
) -> subprocess.CompletedProcess[str]:
    return run(
        "synthesize", "--run.dir", trained, "--out", out, "--per-class", per_class, *options,
        processes=processes,
    )  # fmt: skip


def arrays(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][:] for name in ("features", "labels")}


def measured(trained: Path, out: Path, *options: object, processes: int = 1) -> dict[str, object]:
    done = run("evaluate", "--run.dir", trained, "--out", out, *options, processes=processes)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    return {name: result[name] for name in ("U", "S", "H", "T1", "AUSUC", "raw", "per_class")}


def test_bytes_are_the_same_on_one_and_two_processes(
    trained: Path, bank: Path, tmp_path: Path
) -> None:
    assert len(list(bank.parent.glob("bank.*.h5"))) == 2, "a shard for each process"
    done = synthesize(trained, tmp_path / "one.h5", "--block-rows", 32)
    assert done.returncode == 0, done.stderr
    one, two = arrays(tmp_path / "one.h5"), arrays(bank)
    assert one["features"].tobytes() == two["features"].tobytes()
    assert (one["labels"] == two["labels"]).all()
    assert np.bincount(one["labels"]).max() == 50


def test_a_killed_job_goes_on(trained: Path, tmp_path: Path) -> None:
    """Kill -9 of one of two workers, then the same command on one process."""
    out, whole, moments = tmp_path / "bank.h5", tmp_path / "whole.h5", random.Random(0)
    size = ("--block-rows", 16, "--classes", "all")
    many = ("--run.dir", trained, "--per-class", 4000, *size)
    process = subprocess.Popen(
        command("synthesize", "--out", out, *many, processes=2),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment(),
    )  # fmt: skip
    deadline = time.monotonic() + PATIENCE
    while len(list(tmp_path.glob("bank.*.h5"))) < 2:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(moments.uniform(0.05, 0.3))
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert not out.exists(), "it was finished before it could be killed"
    line = error_line(run("bank", "verify", out))
    assert "unfinished bank, lacks" in line
    assert "bank." in line
    line = error_line(run("synthesize", "--out", out, *many, "--dtype", "float16"))
    assert "another dtype" in line
    for path in (out, whole):
        done = run("synthesize", "--out", path, *many)
        assert done.returncode == 0, done.stderr
    assert run("bank", "verify", out).returncode == 0
    assert arrays(out)["features"].tobytes() == arrays(whole)["features"].tobytes()


def test_out_of_core_and_sharded_give_the_figures_of_rows_in_memory(
    trained: Path, bank: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.h5"
    assert synthesize(trained, plain, per_class=2200).returncode == 0  # above 1 MiB in float32
    in_memory = measured(trained, tmp_path / "1.json", "--bank", plain)
    limited = ("--bank", plain, "--bank-memory", 1)
    out_of_core = measured(trained, tmp_path / "2.json", *limited)
    sharded = measured(trained, tmp_path / "3.json", *limited, "--shard-classes", processes=2)
    assert out_of_core == in_memory
    assert sharded == in_memory
    # 2200 rows of an unseen class do not drown the seen ones: they count as rows_per_class
    assert abs(in_memory["raw"]["S"] - measured(trained, tmp_path / "6.json")["raw"]["S"]) < 0.1
    # the stored embeddings are those that the network would make of the features
    embedded = measured(trained, tmp_path / "4.json", "--bank", bank)
    synthesized = synthesize(trained, tmp_path / "5.h5", per_class=50)
    assert synthesized.returncode == 0
    assert embedded == measured(trained, tmp_path / "5.json", "--bank", tmp_path / "5.h5")


def test_a_bank_of_another_generator_or_data_set_is_refused(
    bank: Path, trained: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    done = run("train", *FIXED, "--run.dir", other, "--train.seed", 1)
    assert done.returncode == 0, done.stderr
    line = error_line(run("evaluate", "--run", other, "--bank", bank))
    with h5py.File(bank) as file:
        assert f"fingerprint {file.attrs['generator_fingerprint']}" in line
    assert "the run's has" in line
    assert "--force" in line
    done = run("evaluate", "--run", other, "--bank", bank, "--force")
    assert done.returncode == 0, done.stderr


def test_a_moved_run_is_read_and_written_where_it_lies_now(trained: Path, tmp_path: Path) -> None:
    """Rows that need a bank for the time of the classifier's fit go beside the run itself."""
    old, moved = tmp_path / "old", tmp_path / "moved"
    shutil.copytree(trained, moved)
    config = (moved / "config.yaml").read_text()
    assert str(trained) in config
    assert config.count("in_memory: auto") == 2
    config = config.replace(str(trained), str(old)).replace("in_memory: auto", "in_memory: 'false'")
    (moved / "config.yaml").write_text(config)
    digits = digits_dataset()
    np.save(tmp_path / "features.npy", digits.features[:5])
    values = ",".join(map(str, digits.semantics[0] + digits.semantics[1]))
    (tmp_path / "new.csv").write_text(f"new,{values}\n")
    assert evaluate.main(["--run", str(moved), "--out", str(tmp_path / "result.json")]) == 0
    predicted = predict.main(
        ["--run", str(moved), "--features", str(tmp_path / "features.npy"),
         "--add-classes", str(tmp_path / "new.csv"), "--out", str(tmp_path / "p.csv")]
    )  # fmt: skip
    assert predicted == 0
    assert not old.exists()


def test_bad_input_is_told_in_one_line(trained: Path, bank: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.h5"
    lines = {
        "is not 1 or more": synthesize(trained, out, per_class=0),
        "'zebra' is no class of": synthesize(trained, out, "--classes", f"{UNSEEN},zebra"),
        "exists already": synthesize(trained, bank),
        "bytes, ": synthesize(trained, out, per_class=10**13),
        "not an HDF5 file": run("bank", "info", ROOT / "README.md"),
        "no such file": run("bank", "head", tmp_path / "none.h5"),
        "takes one bank": run("bank", "info", bank, bank),
    }
    for words, done in lines.items():
        assert words in error_line(done)
    assert not list(tmp_path.iterdir())


def test_named_classes_types_and_compression(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "bank.h5"
    options = ("--classes", f"{UNSEEN},0", "--dtype", "float16", "--compression", "gzip")
    assert synthesize(trained, out, *options).returncode == 0
    found = arrays(out)
    assert found["features"].dtype == np.float16
    assert found["labels"].tolist() == [0] * 50 + [int(UNSEEN)] * 50
    done = run_program("bank", "info", out)
    assert "float16, compression gzip" in done.stdout
    assert "0 NaN" in done.stdout
    lacking = error_line(run("evaluate", "--run", trained, "--bank", out))
    assert "lacks unseen classes" in lacking


@pytest.mark.parametrize("module", ["synthesize", "bank", "evaluate"])
def test_help_does_not_wait_for_torch(module: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_program(module, "--help")
    assert done.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # of the processor, not of the clock: other tests may run beside
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
    assert "usage: python -m gzsl_dist." in done.stdout
