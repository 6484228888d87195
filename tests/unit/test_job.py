"""What a cluster job asks before it starts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gzsl_dist import job


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
