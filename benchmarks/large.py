"""The whole way at ImageNet-21k's shape: a part a command, its seconds and its peak memory.

    python benchmarks/large.py --out /some/disk [--tenth] [--classes 21841 --rows-per-class 50]

Simulates data that stay on disk, trains briefly, writes a bank, classifies from it out of core,
reports, predicts with an added class, and measures two baselines without a generator. *CPU* is
user and system time of all of a part's processes: on a machine that does other work, wall time
says less. T1 of *who knows how the data are made* is that of `simulate --difficulty`: the most that
can be expected.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHARE_UNSEEN = 1000 / 21_841
SEMANTIC_DIM = 512
FIGURES = ("T1", "U", "S", "H")
WIDTHS = {
    "generator_hidden": 512, "critic_hidden": 512, "embedding_dim": 256, "projection_dim": 128,
    "prototype_hidden": 128, "comparator_hidden": 32, "noise_dim": 64,
}  # fmt: skip


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="an empty folder; files stay there")
    parser.add_argument("--classes", type=int, default=21_841)
    parser.add_argument("--rows-per-class", type=int, default=50)
    parser.add_argument("--d-x", type=int, default=512)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--bank-per-class", type=int, default=10_000)
    parser.add_argument("--method", default="iapc")
    parser.add_argument("--private", type=float, default=0.3)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--tenth", action="store_true", help="2,184 classes and small sizes, as in CI"
    )
    options = parser.parse_args(arguments)
    sooner: list[object] = []
    if options.tenth:
        tenth = {"classes": 2184, "rows_per_class": 10, "d_x": 128, "steps": 60}
        vars(options).update(tenth, bank_per_class=100)
        sooner = ["--evaluation.fit-logits", 10**9]  # so the fit is in closed form, as of the whole
    out, rows = options.out, options.classes * options.rows_per_class
    data, run, bank = out / "dataset.h5", out / "run", out / "bank.h5"
    common: list[object] = [
        "--data.path",
        data,
        "--data.in-memory",
        "false",
        "--evaluation.calibration",
        "none",
    ]
    common += sooner
    widths: list[object] = [
        each for name, size in WIDTHS.items() for each in (f"--model.{name}", size)
    ]
    print("| part | wall, s | CPU, s | peak memory of a process, MB |\n| --- | --- | --- | --- |")
    said = part(
        "simulate", "simulate", out, "--like", "imagenet21k", "--classes", options.classes,
        "--d-x", options.d_x, "--rows", rows, "--private", options.private, "--difficulty",
    )  # fmt: skip
    part(
        "train, fit, measure, draw", "train", *common, *widths, "--run.dir", run,
        "--method", options.method, "--train.steps", options.steps, "--train.batch-size", 256,
        "--train.learning-rate", 1e-3, "--model.anchor", "ridge",
        processes=options.processes,
    )  # fmt: skip
    part(
        "synthesize a bank", "synthesize", "--run", run, "--out", bank,
        "--per-class", options.bank_per_class, "--dtype", "float16",
        processes=options.processes,
    )  # fmt: skip
    part(
        "evaluate with the bank, out of core", "evaluate", "--run", run, "--bank", bank,
        "--bank-memory", 1, "--out", out / "bank.json", processes=options.processes,
    )  # fmt: skip
    for method in ("ridge", "nearest_prototype"):
        part(method, "train", *common, "--run.dir", out / method, "--method", method)
    runs = [run, out / "ridge", out / "nearest_prototype"]
    part("report", "report", *runs, "--out", out / "report.html")
    draw = np.random.default_rng(0)
    values = ",".join(f"{value:.6f}" for value in draw.standard_normal(SEMANTIC_DIM))
    (out / "new.csv").write_text(f"added class,{values}\n")
    np.save(out / "rows.npy", draw.random((100, options.d_x), dtype=np.float32))
    part(
        "predict with an added class", "predict", "--run", run, "--features", out / "rows.npy",
        "--add-classes", out / "new.csv", "--out", out / "predictions.csv",
    )  # fmt: skip
    reached = re.search(r"reaches T1 ([\d.]+) %", said)
    assert reached is not None
    unseen = round(options.classes * SHARE_UNSEEN)
    print(f"\nT1 by chance {100 / unseen:.2f}; of who knows how the data are made {reached[1]}.\n")
    print("| metrics, uncalibrated, % | T1 | U | S | H |\n| --- | --- | --- | --- | --- |")
    results = {name.name: name / "result.json" for name in runs} | {"bank": out / "bank.json"}
    for name, path in results.items():
        found = json.loads(path.read_text())
        print(f"| {name} | {' | '.join(f'{100 * found[key]:.1f}' for key in FIGURES)} |")
    sizes = {path.name: path.stat().st_size for path in out.glob("*.h5")}
    print("\n" + ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in sizes.items()))
    return 0


def part(name: str, command: str, *arguments: object, processes: int = 1) -> str:
    """Run a command and print what it took; returns what it printed. All of it where it fails."""
    start = [sys.executable, "-m"]
    if processes > 1:
        start += ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"]
    began = time.monotonic()
    process = subprocess.Popen(
        [*start, f"gzsl_dist.{command}", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{name} failed:\n{said}")
    print(
        f"| {name} | {time.monotonic() - began:.0f} | {used.ru_utime + used.ru_stime:.0f} | "
        f"{used.ru_maxrss * 1024 / 1e6:.0f} |",
        flush=True,
    )
    return said


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
