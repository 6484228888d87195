"""Classify images or their features with a trained run: ``python -m gzsl_dist.predict``.

Writes one line an image: the class, whether it is a seen or an unseen one, its probability, whether
that is calibrated, and the classes that come next. With --add-classes or --add-class, the run's
model first learns classes that its training never saw, by their semantics or their words.

With --labels, U, S and H of these rows are printed, and written to a JSON file beside the CSV file
with each class's accuracy and the confusion.

Images are encoded as those of the training were, by the encoder that the data file names; its
weights are checked by hash. Features: .npy, .npz or .h5, one image a row; .mat as in the xlsa17
layout, one image a column; as extracted, not scaled.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

from gzsl_dist.command import (
    CommandParser,
    add_run_argument,
    positive_integer,
    run_command,
)
from gzsl_dist.errors import InputError
from gzsl_dist.extraction.kinds import image_kind
from gzsl_dist.inference.arguments import add_class_arguments, picture_path

if TYPE_CHECKING:
    from gzsl_dist.data.features import Features
    from gzsl_dist.extraction.images import ImageEntry
    from gzsl_dist.inference.model import ZeroShotModel


def main(arguments: list[str]) -> int:
    """Predict as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.predict", description=__doc__)
    add_run_argument(parser, "run directory, or a model that export made")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--features", type=Path, help="features of images")
    given.add_argument(
        "--images", type=Path, nargs="+", metavar="PATH", help="image files, or folders of them"
    )
    parser.add_argument("--out", required=True, type=Path, help="CSV file to write, or to replace")
    parser.add_argument(
        "--classes", metavar="NAME,NAME|FILE",
        help="only these classes compete, also those of a text file, one a line",
    )  # fmt: skip
    parser.add_argument(
        "--labels", type=Path, metavar="FILE",
        help="the rows' classes, to score by: a table with the column label, or a text, one a line",
    )  # fmt: skip
    parser.add_argument(
        "--ids", type=Path, metavar="FILE",
        help="the rows' names, to keep: a table with the column id, or a text, one a line",
    )  # fmt: skip
    add_class_arguments(parser)
    parser.add_argument(
        "--image-encoder", type=image_kind, metavar="KIND:NAME",
        help="where the recorded one lies elsewhere now",
    )  # fmt: skip
    parser.add_argument(
        "--skip-bad", action="store_true", help="list images that cannot be read, and skip them"
    )
    parser.add_argument(
        "--montage", type=picture_path, metavar="FILE.png",
        help="a sheet of images and their classes, right or wrong by --labels or by the names of "
        "their folders",
    )  # fmt: skip
    parser.add_argument(
        "--top", type=positive_integer, default=3, help="classes listed for an image [3]"
    )
    options = parser.parse_args(arguments)
    if options.montage is not None and not options.images:
        raise InputError("--montage shows images; give --images")

    from gzsl_dist.files import atomic_write
    from gzsl_dist.inference.files import read_features, read_names
    from gzsl_dist.inference.load import load_model
    from gzsl_dist.inference.new_classes import model_with_classes
    from gzsl_dist.inference.own_rows import as_spelled, read_column, score_rows

    names = read_names(options.classes) if options.classes is not None else None
    model = model_with_classes(load_model(options.run), options)
    known = model.classes
    if names is not None:
        model = model.restricted(tuple(as_spelled(names, known)))
    files: dict[str, Path | None] = {"id": options.ids, "label": options.labels}
    columns = {name: path for name, path in files.items() if path is not None}
    features: Features
    entries: list[ImageEntry] = []
    beside: dict[str, list[str]] = {}

    def read_columns(rows: int, kept: list[bool] | None = None) -> dict[str, list[str]]:
        return {name: read_column(path, name, rows, kept) for name, path in columns.items()}

    if options.images:
        from gzsl_dist.extraction.images import unlabelled_images

        entries = unlabelled_images(options.images)
        # before minutes of encoding, after which, but for --skip-bad, no image is left out
        early = None if options.skip_bad else read_columns(len(entries))
        entries, features, kept = _encoded(model, entries, options)
        beside["image"] = [entry.name for entry in entries]
        beside |= read_columns(len(features), kept) if early is None else early
    else:
        features = read_features(options.features, model.card.feature_dim)
        beside = read_columns(len(features))
    text, unseen = predictions(model, features, options.top, beside)
    rows = list(csv.DictReader(io.StringIO(text)))
    scores = {}
    if options.labels is not None:
        predicted = [row["class"] for row in rows]
        scores = score_rows(beside["label"], predicted, model, options.labels, known)
        atomic_write(options.out.with_suffix(".scores.json"), json.dumps(scores, indent=1) + "\n")
    earlier = " (replaced)" if options.out.exists() else ""
    atomic_write(options.out, text)
    if options.montage is not None:
        from gzsl_dist.inference.montage import write_montage

        further = [f"{row['kind']}, {float(row['probability']):.0%}" for row in rows]
        captions = [
            (row["class"], more, row["kind"] == "unseen")
            for row, more in zip(rows, further, strict=True)
        ]
        folders = [Path(entry.name).parent.name for entry in entries]
        true = beside.get("label") or [name if name in known else "" for name in folders]
        write_montage(options.montage, entries, captions, true)
        right = sum(row["class"] == name for row, name in zip(rows, true, strict=True))
        labelled = sum(map(bool, true))
        print(f"{options.montage}: {right} right of {labelled} images whose class is known")
    seen_count, unseen_count = len(model.seen_classes), len(model.unseen_classes)
    print(
        f"{options.out}{earlier}: {len(features)} rows, {len(features) - unseen} predicted as one "
        f"of {seen_count} seen and {unseen} as one of {unseen_count} unseen classes, "
        + ("calibrated on validation classes" if model.is_calibrated else "not calibrated")
    )
    if scores:
        told = [f"{name} {100 * scores[name]:.1f}" for name in ("U", "S", "H") if name in scores]
        print(f"{', '.join(told)} in %; of each class: {options.out.with_suffix('.scores.json')}")
    return 0


def _encoded(
    model: ZeroShotModel, entries: list[ImageEntry], options: argparse.Namespace
) -> tuple[list[ImageEntry], Features, list[bool]]:
    """The images that can be read, their features, and for every image whether it can."""
    import numpy as np

    from gzsl_dist.extraction.recorded import encode_images

    print(f"encoding {len(entries)} images", flush=True)
    features, bad = encode_images(
        model.card.origin, entries, options.image_encoder, workers=1, skip_bad=options.skip_bad
    )
    for row, reason in bad.items():
        print(f"left out: {entries[row].name}: {reason}")
    kept = [row not in bad for row in range(len(entries))]
    return [*compress(entries, kept)], features[np.array(kept, dtype=bool)], kept


def predictions(
    model: ZeroShotModel, features: Features, top: int, beside: Mapping[str, Sequence[str]]
) -> tuple[str, int]:
    """Predictions as CSV, and how many rows went to unseen classes.

    Args:
        model: what predicts.
        features: ``(rows, d_x)``.
        top: classes listed for each row, at most all.
        beside: more columns, a text for each row.
    """
    import numpy as np

    from gzsl_dist.data.features import BLOCK_ROWS

    top = min(top, len(model.classes))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    further = [
        f"{name}_{place}" for place in range(2, top + 1) for name in ("class", "probability")
    ]
    writer.writerow(["row", *beside, "class", "kind", "probability", "calibrated", *further])
    calibrated = "yes" if model.is_calibrated else "no"
    unseen = 0
    for start in range(0, len(features), BLOCK_ROWS):
        try:
            block = np.asarray(features[start : start + BLOCK_ROWS])
        except OSError as error:  # a damaged chunk of an HDF5 file
            raise InputError(
                f"features cannot be read from row {start} (from 0) on ({error}); save them again"
            ) from None
        probabilities = model.predict_proba(block)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        for row, (classes, values) in enumerate(
            zip(order, probabilities, strict=True), start=start
        ):
            kind = "seen" if classes[0] < model.card.seen_count else "unseen"
            unseen += kind == "unseen"
            told = [(model.classes[number], f"{values[number]:.6g}") for number in classes]
            rest = [text for pair in told[1:] for text in pair]
            own = [texts[row] for texts in beside.values()]
            writer.writerow([row, *own, told[0][0], kind, told[0][1], calibrated, *rest])
    return buffer.getvalue(), unseen


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
