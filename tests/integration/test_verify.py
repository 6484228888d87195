"""``python -m gzsl_dist.verify`` holds on sound jobs, and finds local negatives."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .commands import ROOT, run

ZERO2 = (
    "--train.strategy", "deepspeed",
    "--train.deepspeed_config", ROOT / "configs" / "deepspeed" / "zero2.yaml",
    "--train.precision", "float32",
)  # fmt: skip


def checks(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """The report's lines by name."""
    text = done.stdout
    assert "{" in text, done.stderr
    report = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return {check["name"]: check for check in report["checks"]}


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("strategy", ["auto", "zero2"])
def test_a_sound_job(tmp_path: Path, processes: int, strategy: str) -> None:
    options = ZERO2 if strategy == "zero2" else ()
    done = run("verify", *options, "--run.dir", tmp_path / "r", "--json", processes=processes)
    assert done.returncode == 0, done.stdout + done.stderr
    found = checks(done)
    assert all(check["passed"] for check in found.values())
    names = {"critic's gradients", "generator's gradients", "negatives", "resume, one process"}
    assert names <= found.keys()
    assert not (tmp_path / "r").exists(), "nothing is left behind"


def test_local_negatives_are_found(tmp_path: Path) -> None:
    local = "--loss.negatives", "local"
    done = run("verify", *local, "--run.dir", tmp_path / "r", "--json", processes=2)
    assert done.returncode != 0
    found = checks(done)
    assert not found["negatives"]["passed"]
    assert "with 10 of the 19 rows" in found["negatives"]["found"]
    assert not found["critic's gradients"]["passed"]
    assert not found["generator's gradients"]["passed"]
