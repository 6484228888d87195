"""What a user of prepare is told about wrong files: exit 2 and exactly one line on stderr."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gzsl_dist.data.store import read_dataset
from tests.unit.data.pairs import variables, write_pair

from .commands import error_line, run


def text(path: Path) -> None:
    path.write_text("not a matrix")


def half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("which", [0, 1], ids=["features", "splits"])
@pytest.mark.parametrize(
    ("spoil", "what"),
    [(Path.unlink, "no such file"), (text, "not a MATLAB file"), (half, "truncated")],
    ids=["missing", "text", "truncated"],
)
def test_a_file_that_is_none(
    tmp_path: Path, spoil: Callable[[Path], None], what: str, which: int
) -> None:
    paths = write_pair(tmp_path, variables())
    spoil(paths[which])
    line = error_line(run("prepare", *paths, tmp_path / "out.h5"))
    assert str(paths[which]) in line
    assert what in line
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("features", np.nan, "NaN or infinite values"),
        ("features", 1e300, "NaN or infinite values (in float32)"),
        ("labels", np.inf, "labels: must be whole numbers"),
        ("trainval_loc", 0, "trainval_loc: holds 0"),
        ("test_seen_loc", 1e30, "test_seen_loc: must be whole numbers"),
    ],
)
def test_a_wrong_value_without_warnings_beside(
    tmp_path: Path, key: str, value: float, what: str
) -> None:
    contents = variables()
    contents[key] = contents[key].astype(np.float64)
    contents[key][0, 0] = value
    line = error_line(run("prepare", *write_pair(tmp_path, contents), "--check"))
    assert what in line
    assert str(tmp_path) in line


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """Not even root may make a folder in /proc."""
    line = error_line(run("prepare", *write_pair(tmp_path, variables()), "/proc/gzsl/out.h5"))
    assert "/proc/gzsl/out.h5: cannot be written" in line


def test_the_name_is_the_folder_and_overwrite_replaces(tmp_path: Path) -> None:
    folder = tmp_path / "Birds"
    folder.mkdir()
    paths = write_pair(folder, variables())
    out = tmp_path / "out.h5"
    out.write_text("former")
    done = run("prepare", *paths, out, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert read_dataset(out).name == "Birds"
