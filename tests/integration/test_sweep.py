"""A sweep run here, by as many trainings at a time as it is told."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from .commands import ROOT


def sweep(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "gzsl_dist.sweep", *map(str, arguments)]


def test_a_sweep_here_stops_goes_on_and_tells_failures(tmp_path: Path) -> None:
    """Ctrl-C lets the tasks save; the same command resumes; a failed task gives exit code 1."""
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"data: {{digits: {ROOT / 'configs' / 'digits.yaml'}}}\ndir: {tmp_path / 'runs'}\n"
        "methods: [wgan]\nseeds: [0, 1]\nsettings: {train.steps: 1500, train.batch_size: 16, "
        "train.critic_steps: 1, log.every: 5, evaluation.calibration: none}\n"
    )
    process = subprocess.Popen(
        sweep("run", file, "--jobs", 2), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=ROOT,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while len(list((tmp_path / "runs").glob("*/metrics.jsonl"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 75, stderr
    assert stdout.count("stopped after saving") == 2, stdout
    again = subprocess.run(
        sweep("run", file, "--jobs", 2), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count(": done in ") == 2
    (tmp_path / "runs" / "digits-wgan-seed1" / "result.json").unlink()
    (tmp_path / "runs" / "digits-wgan-seed1" / "config.yaml").unlink()
    failed = subprocess.run(
        sweep("run", file), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert failed.returncode == 1
    assert "digits-wgan-seed0: done already, skipped" in failed.stdout
    assert "without its config.yaml" in failed.stdout
    assert failed.stderr.count("\n") == 1
