"""`gzsl`: the list of commands, its version, completion, and what `gzsl doctor` finds."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gzsl_dist import __version__, doctor
from gzsl_dist.__main__ import COMMANDS, main
from gzsl_dist.errors import InputError


def test_alone_it_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    for name, purpose in COMMANDS.items():
        assert f"{name:<12} {purpose}" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"gzsl_dist {__version__}\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gzsl pred", "predict "),
        ("gzsl train --train.ze", "--train.zero_stage "),
        ("gzsl train --method ia", "iapc "),
    ],
)
def test_a_shell_completes(line: str, expected: str, tmp_path: Path) -> None:
    pytest.importorskip("argcomplete")
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "found"),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run([sys.executable, "-m", "gzsl_dist"], env=os.environ | asked, check=True)
    assert (tmp_path / "found").read_text() == expected


def test_doctor_lists_what_is_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.h5").write_text("no HDF5")
    assert doctor.main(["--data", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for expected in (__version__, "torch ", "[deepspeed]", "gloo", "CPU cores", "open files"):
        assert expected in shown
    assert "bad.h5" in shown


def test_doctor_says_how_to_install_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = ['absent-too ; extra == "onnx"', "torch>=2", "absent>=1 ; python_version > '3'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: listed)
    with pytest.raises(InputError, match="missing: absent; pip install absent"):
        doctor.main([])
    shown = capsys.readouterr().out
    assert "[onnx]         missing absent-too: pip install 'gzsl_dist[onnx]'" in shown
