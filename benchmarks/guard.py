"""Has a training step become slower? Compares ratios to the floor with the committed ones.

    python benchmarks/guard.py            # what got worse by more than 25 %; then it exits with 1
    python benchmarks/guard.py --record   # writes benchmarks/guard.json anew

Steps and their matrix products alone are timed in turns in one run (`benchmarks/step.py`), by the
processor time of this process, so the ratios depend little on the machine and on what else runs.
Run by hand, on the commit before and on yours: what a machine does differently is then seen too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import scaling
import step

FILE = Path(__file__).with_name("guard.json")
WORSE = 1.25  # times the committed ratio
CASES = [("cub_cpu", "wgan"), ("cub_cpu", "ce_gzsl"), ("cub_cpu", "iapc")]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="make this run the committed one")
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    options = parser.parse_args(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    import torch

    torch.set_num_threads(1)
    settings = step.parse(["--clock", "cpu", "--repeats", str(options.repeats)])
    found = {}
    for shape, method in CASES:
        for figures in step.measure(settings, shape, method, 256):
            found[f"{shape} {method} {figures['side']}"] = round(figures["to_floor"], 3)
    if options.record:
        FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    worse, text = compare(found, json.loads(FILE.read_text(encoding="utf-8")))
    print(text)
    return 1 if worse else 0


def compare(found: dict[str, float], committed: dict[str, Any]) -> tuple[list[str], str]:
    """Names of steps that are slower by more than 25 %, and a Markdown table of all."""
    worse = [name for name, ratio in found.items() if ratio > WORSE * committed.get(name, ratio)]
    lines = ["| step | to its floor | committed | |", "| --- | --- | --- | --- |"]
    for name, ratio in found.items():
        before = f"{committed[name]:.2f}" if name in committed else "new"
        lines.append(f"| {name} | {ratio:.2f} | {before} | {'WORSE' if name in worse else ''} |")
    if worse:
        lines += ["", f"slower by more than {WORSE - 1:.0%}: {', '.join(worse)}"]
    return worse, "\n".join(lines)


if __name__ == "__main__":
    sys.path.insert(0, str(scaling.ROOT))
    sys.exit(main(sys.argv[1:]))
