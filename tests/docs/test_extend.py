"""docs/extend.md as a user reads it: its files are written, installed, trained with and verified.

The package is installed by pip, beside the environment and not into it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.integration.commands import PATIENCE, environment

from .shell import ROOT, commands_of

PAGE = (ROOT / "docs" / "extend.md").read_text()
FILES = dict(re.findall(r"`(\w+\.\w+)`[^\n`]*:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL))
INSTALL, PROVE, RUN = re.findall(
    r"\n\n((?:    .*\n)+)", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
)
FOR_FREE = """
import sys
import pytest
from gzsl_dist.config.files import read_run_config
from tests.distributed.test_gradients import *

assert read_run_config(Path("runs/mine")).loss.center.margin == 0.1
chunks.CHUNK = 30
alone = DistributedContext(0, 1, CPU)
found = distributed_gradients(alone, "center", Case(1, 24, double=True, micro=5))
assert_same(found, plain_gradients("center", 24, True), True, "center")
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "test_my_loss.py"]))
"""


def test_every_block_is_a_file_or_a_command() -> None:
    made = {"my_loss.py", "my_metric.py", "my_data.py", "test_my_loss.py"}
    assert set(FILES) == {*made, "pyproject.toml", "mine.yaml"}
    assert PAGE.count("```") == 2 * len(FILES)
    assert INSTALL == "    pip install -e .\n"
    assert PROVE.startswith("    pytest tests/distributed/test_gradients.py")


def test_a_loss_a_metric_and_a_data_set_of_a_user(tmp_path: Path) -> None:
    def run(*arguments: str) -> None:
        path = os.pathsep.join([str(tmp_path / "installed"), str(ROOT)])
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
            timeout=PATIENCE, env=environment() | {"PYTHONPATH": path},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    run("-m", "pip", "install", *options, "--target", "installed", ".")
    for program, *words in commands_of(RUN):
        run(*(["-m", "torch.distributed.run"] if program == "torchrun" else []), *words)

    directory = tmp_path / "runs" / "mine"
    first, *_, last = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    assert first["critic/center_loss"] > last["critic/center_loss"] > 0
    assert last["generator/center_loss"] > 0
    selection = (directory / "selection" / "metrics.jsonl").read_text().splitlines()
    for line in map(json.loads, selection):
        assert 0 <= line["validation/worst_class"] <= line["validation/T1"]
    kept = yaml.safe_load((directory / "config.yaml").read_text())["loss"]
    assert (kept["critic"]["center"], kept["center"]) == (0.5, {"margin": 0.1})
    run("-c", FOR_FREE)
