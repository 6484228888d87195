"""Zero-shot classes that a run never heard of: hold ten unseen classes out of everything, add them.

    python benchmarks/add_classes.py --config configs/cub_cpu.yaml --processes 2

makes a data set without the rows and the semantics of every fifth unseen class, trains on it, then
lets ``predict --add-classes`` classify the rows of these classes and of the others, all classes
competing. Compare with a run that knew them: the same training, since no training sees them.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from gzsl_dist.config.files import read_yaml
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.load import load_dataset
from gzsl_dist.data.store import write_dataset


def without(dataset: Dataset, classes: np.ndarray) -> Dataset:
    """The data set without the rows, names and semantics of some classes."""
    rows = np.flatnonzero(~np.isin(dataset.labels, classes))
    kept = np.setdiff1d(np.arange(len(dataset.classes)), classes)
    return replace(
        dataset,
        features=dataset.features[rows],
        labels=np.searchsorted(kept, dataset.labels[rows]),
        semantics=dataset.semantics[kept],
        classes=tuple(dataset.classes[number] for number in kept),
        splits={
            name: np.searchsorted(rows, np.intersect1d(split, rows))
            for name, split in dataset.splits.items()
        },
    )


def accuracy(path: Path, names: np.ndarray) -> tuple[float, dict[str, float]]:
    """Mean per-class top-1 of a file of predictions, and that of each class."""
    with path.open(newline="") as file:
        found = np.array([line["class"] for line in csv.DictReader(file)])
    by_class = {name: float(np.mean(found[names == name] == name)) for name in np.unique(names)}
    return float(np.mean(list(by_class.values()))), by_class


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/cub_cpu.yaml")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--run", type=Path, default=Path("runs/add_classes"))
    parser.add_argument("settings", nargs="*", help="further settings of the training, after --")
    options = parser.parse_args()
    whole = load_dataset(read_yaml(Path(options.config))["data"]["path"])
    new = whole.unseen_classes[::5][:10]
    folder = options.run.with_name(f"{options.run.name}_data")
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "without.h5"
    if not data.exists():
        write_dataset(data, without(whole, new))
    with (folder / "new.csv").open("w", newline="") as file:
        for number in new:
            csv.writer(file).writerow([whole.classes[number], *whole.semantics[number].tolist()])

    launcher = ["-m", "torch.distributed.run", "--standalone"]
    train = [*launcher, f"--nproc_per_node={options.processes}", "-m", "gzsl_dist.train"]
    train += ["--config", options.config, "--data.path", str(data), "--run.dir", str(options.run)]
    subprocess.run([sys.executable, *train, *options.settings], check=True)

    print(f"held out of everything: {', '.join(whole.classes[number] for number in new)}")
    unseen = whole.splits["test_unseen"]
    is_new = np.isin(whole.labels[unseen], new)
    parts = {
        "the new classes": unseen[is_new],
        "the other unseen classes": unseen[~is_new],
        "seen classes": whole.splits["test_seen"],
    }
    for title, rows in parts.items():
        features, out = folder / "features.npy", folder / "predictions.csv"
        np.save(features, whole.features[rows])
        predict = ["--run", options.run, "--features", features, "--out", out]
        predict += ["--add-classes", folder / "new.csv", "--top", "1"]
        command = [sys.executable, "-m", "gzsl_dist.predict", *map(str, predict)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        mean, by_class = accuracy(out, np.array(whole.classes)[whole.labels[rows]])
        print(f"{title}: {len(by_class)} classes, {len(rows)} rows, top-1 {100 * mean:.1f} %")
        if title == "the new classes":
            for name, value in by_class.items():
                print(f"    {name}: {100 * value:.0f} %")


if __name__ == "__main__":
    main()
