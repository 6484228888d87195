"""How the time of every command's every function grows with classes, rows and feature width.

    python benchmarks/growth_commands.py --out growth [--against C N d_x]

Simulated data of some sizes go through the command line (train with a look, synthesize, evaluate
from the bank, report, predict, baselines) under Python's profiler, by a process's own seconds.
A line is a part, named by the function that owns it, with all that this calls; and *every* other
function of the package that takes half a second at the largest size and grows faster than the size,
which is the most that is expected: rows are as many for any number of classes.
"""

from __future__ import annotations

import argparse
import marshal
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SIZES = {  # classes, rows, d_x
    "C": [(200, 24_000, 64), (600, 24_000, 64), (2000, 24_000, 64), (6000, 24_000, 64)],
    "N": [(100, 2500, 64), (100, 8000, 64), (100, 25_000, 64), (100, 80_000, 64)],
    "d_x": [(100, 5000, 64), (100, 5000, 200), (100, 5000, 640), (100, 5000, 2000)],
}
SEEN_LONG = 0.5  # seconds at the largest size: below that it is noise
MORE = 0.15  # as in growth.py
PARTS = {
    "load": ("data/store.py", "read_dataset"),
    "build the problem": ("data/problem.py", "final_problem"),
    "scale": ("data/scaling.py", "fit"),
    "anchor": ("training/anchor.py", "choose_anchor"),
    "steps": ("training/trainer.py", "train_step"),
    "fit the classifier": ("evaluation/score.py", "fit_classifier"),
    "score": ("evaluation/score.py", "score_problem"),
    "metrics and curve": ("evaluation/selection.py", "validation_figures"),
    "the baseline beside it": ("baselines/run.py", "measured_baseline"),
    "save": ("training/resume.py", "save"),
    "details": ("evaluation/details.py", "write_details"),
    "pictures": ("monitoring/board.py", "draw"),
    "synthesize": ("bank/writer.py", "write_bank"),
    "add a class": ("inference/new_classes.py", "model_with_classes"),
    "predict": ("predict.py", "predictions"),
    "report's page": ("results/page.py", "html_report"),
    "whole command": ("command.py", "run_command"),
}  # fmt: skip
WIDTHS = {
    "generator_hidden": 128, "critic_hidden": 128, "embedding_dim": 64, "projection_dim": 64,
    "prototype_hidden": 64, "comparator_hidden": 8, "noise_dim": 16,
}  # fmt: skip
SEMANTIC_DIM = 512  # of `simulate --like imagenet21k`
# Unlike `python -m cProfile`, it ends with the command's own exit code.
PROFILER = """
import cProfile, runpy, sys, time
profile, file = cProfile.Profile(time.process_time), sys.argv[1]
module, sys.argv = sys.argv[2], sys.argv[2:]
try:
    profile.runcall(runpy.run_module, module, run_name="__main__", alter_sys=True)
finally:
    profile.dump_stats(file)
"""
Function = tuple[str, str]  # module's file inside the package, name


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="an empty folder; files stay there")
    parser.add_argument("--against", nargs="+", choices=list(SIZES), default=list(SIZES))
    options = parser.parse_args(arguments)
    for size in options.against:
        folder = options.out / size
        runs = [commands(folder / str(place), *each) for place, each in enumerate(SIZES[size])]
        place = ["C", "N", "d_x"].index(size)
        print_table(size, [each[place] for each in SIZES[size]], runs)
    return 0


def commands(out: Path, classes: int, rows: int, d_x: int) -> dict[str, dict[Function, float]]:
    """Seconds of each function of the package, by command, at one size."""
    profiled(
        out, "simulate", out, "--like", "imagenet21k", "--classes", classes, "--rows", rows,
        "--d-x", d_x,
    )  # fmt: skip
    run, bank = out / "run", out / "bank.h5"
    common = ["--data.path", out / "dataset.h5", "--evaluation.calibration", "none"]
    widths = [each for name, width in WIDTHS.items() for each in (f"--model.{name}", width)]
    found = {}
    found["train"] = profiled(
        out, "train", *common, *widths, "--run.dir", run, "--model.anchor", "ridge",
        "--train.steps", 20, "--train.batch-size", 64, "--evaluation.every", 10,
        "--evaluation.rows-per-class", 10, "--checkpoint.every", 10,
    )  # fmt: skip
    found["synthesize"] = profiled(
        out, "synthesize", "--run", run, "--out", bank, "--per-class", 10
    )
    found["evaluate"] = profiled(
        out, "evaluate", "--run", run, "--bank", bank, "--out", out / "bank.json"
    )
    for method in ("ridge", "nearest_prototype"):
        found[method] = profiled(
            out, "train", *common, "--run.dir", out / method, "--method", method
        )
    found["report"] = profiled(out, "report", run, out / "ridge", "--out", out / "report.html")
    draw = np.random.default_rng(0)
    values = ",".join(f"{value:.6f}" for value in draw.standard_normal(SEMANTIC_DIM))
    (out / "new.csv").write_text(f"added class,{values}\n")
    np.save(out / "rows.npy", draw.random((rows // 10, d_x), dtype=np.float32))
    found["predict"] = profiled(
        out, "predict", "--run", run, "--features", out / "rows.npy",
        "--add-classes", out / "new.csv", "--out", out / "predictions.csv",
    )  # fmt: skip
    return found


def profiled(out: Path, command: str, *arguments: object) -> dict[Function, float]:
    """Run a command under the profiler; cumulated seconds of the package's functions."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "profile"
    done = subprocess.run(
        [sys.executable, "-c", PROFILER, file, f"gzsl_dist.{command}", *map(str, arguments)],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout}{done.stderr}")
    found: dict[Function, float] = {}
    package = str(ROOT / "gzsl_dist") + os.sep
    for (path, _, name), (_, _, _, cumulated, _) in marshal.loads(file.read_bytes()).items():
        if path.startswith(package) and name != "<module>":
            key = path.removeprefix(package), name
            found[key] = max(found.get(key, 0.0), cumulated)
    return found


def print_table(size: str, sizes: list[int], runs: list[dict[str, dict[Function, float]]]) -> None:
    """The parts of every command, and whatever grows too fast."""
    print(f"\n| against {size} | part | " + " | ".join(f"{each:,}" for each in sizes), end="")
    print(" | exponent | |\n" + "| --- " * (len(sizes) + 4) + "|")
    parts = {function: part for part, function in PARTS.items()}
    for command, last in runs[-1].items():
        above = math.inf  # seconds of the last line that was marked
        for function in sorted(last, key=last.__getitem__):
            seconds = [run[command].get(function, 0.0) for run in runs]
            before = max(seconds[-2], 1e-3)
            grown = math.log(max(seconds[-1], 1e-3) / before) / math.log(sizes[-1] / sizes[-2])
            too_fast = grown > 1 + MORE and seconds[-1] >= SEEN_LONG
            # of callers that take as long as what they call, only the innermost
            new = too_fast and not 0.9 * seconds[-1] < above <= seconds[-1]
            above = seconds[-1] if too_fast else above
            if function in parts or new:
                cells = " | ".join(f"{each:.2f}" for each in seconds)
                name = parts.get(function, f"`{function[1]}` in {function[0]}")
                mark = "GROWS FASTER" if too_fast else ""
                print(f"| {command} | {name} | {cells} | {grown:.2f} | {mark} |", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
