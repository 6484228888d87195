"""Classify features with a trained run: ``python -m gzsl_dist.predict``.

Writes one line an image: the class, whether it is a seen or an unseen one, its probability, whether
that is calibrated, and the classes that come next. With --add-classes, the run's model first learns
classes that its training never saw, by their semantics.

Features: .npy, .npz or .h5, one image a row; .mat as in the xlsa17 layout, one image a column. They
are as extracted, not scaled.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gzsl_dist.command import CommandParser, add_run_argument, positive_integer, run_command

if TYPE_CHECKING:
    from gzsl_dist.data.features import Features
    from gzsl_dist.inference.model import ZeroShotModel


def main(arguments: list[str]) -> int:
    """Predict as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.predict", description=__doc__)
    add_run_argument(parser, "run directory, or a model that export made")
    parser.add_argument("--features", required=True, type=Path, help="features of images")
    parser.add_argument("--out", required=True, type=Path, help="CSV file to write")
    parser.add_argument(
        "--classes", metavar="NAME,NAME|FILE",
        help="only these classes compete, also those of a text file, one a line",
    )  # fmt: skip
    parser.add_argument(
        "--add-classes", type=Path, metavar="NEW",
        help="new classes: .csv with lines name,value,... or .mat with att and allclasses_names",
    )  # fmt: skip
    parser.add_argument(
        "--top", type=positive_integer, default=3, help="classes told for an image; default 3"
    )
    options = parser.parse_args(arguments)

    from gzsl_dist.files import atomic_write
    from gzsl_dist.inference.files import read_features, read_names
    from gzsl_dist.inference.model import load_model

    names = read_names(options.classes) if options.classes is not None else None
    model = load_model(options.run)
    features = read_features(options.features, model.card.feature_dim)
    if options.add_classes is not None:
        model = _with_new_classes(options.run, options.add_classes)
    if names is not None:
        model = model.restricted(names)
    text, unseen = predictions(model, features, options.top)
    atomic_write(options.out, text)
    seen_count, unseen_count = len(model.seen_classes), len(model.unseen_classes)
    print(
        f"{options.out}: {len(features)} rows, {len(features) - unseen} taken for one of "
        f"{seen_count} seen and {unseen} for one of {unseen_count} unseen classes, "
        + ("calibrated on validation classes" if model.is_calibrated else "not calibrated")
    )
    return 0


def _with_new_classes(run: Path, path: Path) -> ZeroShotModel:
    from gzsl_dist.distributed.processes import start_processes
    from gzsl_dist.errors import InputError
    from gzsl_dist.inference.assemble import with_new_classes
    from gzsl_dist.inference.files import read_new_classes
    from gzsl_dist.training.trained import load_run

    if not run.is_dir():
        raise InputError(
            f"--add-classes: {run} is a model alone; new classes need its run directory (generator "
            "and training features)"
        )
    names, semantics = read_new_classes(path)
    with start_processes() as processes:
        print(f"{path}: {len(names)} new classes; fitting the classifier anew", flush=True)
        return with_new_classes(load_run(run, processes), names, semantics, processes)


def predictions(model: ZeroShotModel, features: Features, top: int) -> tuple[str, int]:
    """Predictions as CSV, and how many rows went to unseen classes.

    Args:
        model: what predicts.
        features: ``(rows, d_x)``.
        top: classes told for each row, at most all.
    """
    import numpy as np

    from gzsl_dist.data.features import BLOCK_ROWS
    from gzsl_dist.errors import InputError

    top = min(top, len(model.classes))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    further = [
        f"{name}_{place}" for place in range(2, top + 1) for name in ("class", "probability")
    ]
    writer.writerow(["row", "class", "kind", "probability", "calibrated", *further])
    calibrated = "yes" if model.is_calibrated else "no"
    unseen = 0
    for first in range(0, len(features), BLOCK_ROWS):
        try:
            block = np.asarray(features[first : first + BLOCK_ROWS])
        except OSError as error:  # a damaged chunk of an HDF5 file
            raise InputError(f"features cannot be read from row {first} on ({error})") from None
        probabilities = model.predict_proba(block)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        for row, (classes, values) in enumerate(
            zip(order, probabilities, strict=True), start=first
        ):
            kind = "seen" if classes[0] < model.card.seen_count else "unseen"
            unseen += kind == "unseen"
            told = [(model.classes[number], f"{values[number]:.6g}") for number in classes]
            rest = [text for pair in told[1:] for text in pair]
            writer.writerow([row, told[0][0], kind, told[0][1], calibrated, *rest])
    return buffer.getvalue(), unseen


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
