"""What the files in launch/ do: which environment they take, and how Ctrl-C ends them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .commands import PATIENCE, ROOT, SMALL

AT_HAND = 'source "$0"; if is_at_hand "$1"; then echo yes; else echo no; fi'


@pytest.mark.parametrize(
    ("extra", "variables", "expected"),
    [
        ("", {}, "yes"),
        ("no_such_module", {}, "no"),
        ("dev", {}, "no"),  # the tests' tools have fixed versions
        ("", {"VENV": "/elsewhere"}, "no"),
        ("", {"PYTHON": sys.executable}, "no"),
    ],
)
def test_an_environment_that_has_the_clone_is_used(
    extra: str, variables: dict[str, str], expected: str
) -> None:
    assert at_hand(ROOT, extra, variables) == expected


def test_an_environment_of_another_clone_is_not_used(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "launch", tmp_path / "launch")
    assert at_hand(tmp_path, "", {}) == "no"


def at_hand(clone: Path, extra: str, variables: dict[str, str]) -> str:
    environment = {name: os.environ[name] for name in os.environ if name not in ("VENV", "PYTHON")}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        ["bash", "-c", AT_HAND, str(clone / "launch" / "environment.sh"), extra],
        capture_output=True, text=True, check=True, env=environment, cwd=clone,
    )  # fmt: skip
    assert not done.stderr
    return done.stdout.strip()


def test_ctrl_c_ends_the_launcher_without_a_traceback(tmp_path: Path) -> None:
    command = [
        sys.executable, str(ROOT / "launch" / "torchrun.py"), "--standalone", "--nproc_per_node=2",
        "-m", "gzsl_dist.train", *SMALL, "--train.steps", "100000", "--run.dir", str(tmp_path),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in a terminal
    )  # fmt: skip
    assert process.stdout is not None
    while "run in" not in (line := process.stdout.readline()):
        assert line, "ended before it began"
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=PATIENCE)
    assert "interrupted" in shown
    assert "Traceback" not in shown
    assert process.returncode == 130
