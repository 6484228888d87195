"""The whole way of ImageNet-21k's shape, at a tenth of its classes, by one command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.integration.commands import PATIENCE, ROOT

PARTS = (
    "simulate", "train, fit, measure, draw", "synthesize a bank",
    "evaluate with the bank, out of core", "ridge", "nearest_prototype", "report",
    "predict with an added class",
)  # fmt: skip


def test_a_tenth_of_imagenet21k(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "benchmarks/large.py", "--out", tmp_path, "--tenth"],
        capture_output=True, text=True, timeout=4 * PATIENCE, cwd=ROOT, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    lines = [line.strip("| ").split(" | ") for line in ran.stdout.splitlines() if line[:1] == "|"]
    values = [(first, [*map(float, rest)]) for first, *rest in lines if rest[0][0].isdigit()]
    parts = {name: rest for name, rest in values if len(rest) == 3}
    metrics = {name: rest for name, rest in values if len(rest) == 4}
    assert list(parts) == list(PARTS)
    assert list(metrics) == ["run", "ridge", "nearest_prototype", "bank"]
    for name, (_, _, peak) in parts.items():
        assert peak < 3000, name
    for name in ("run", "bank"):
        t1, u, s, _ = metrics[name]
        assert t1 > 10, "ten times chance: 100 unseen classes"
        assert u > 1, "of 2,184 classes that compete"
        assert s > 1
