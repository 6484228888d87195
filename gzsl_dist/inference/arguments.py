"""Options of commands that use a model; nothing here imports torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from gzsl_dist.errors import InputError
from gzsl_dist.extraction.kinds import text_kind


def add_class_arguments(parser: argparse.ArgumentParser) -> None:
    """``--add-classes``, ``--add-class`` and ``--text-encoder``."""
    parser.add_argument(
        "--add-classes", type=Path, metavar="NEW",
        help="new classes: .csv with lines name,value,..., or with columns name, description and "
        "what the template has besides (also .tsv, .json, .parquet); or .mat with att and "
        "allclasses_names",
    )  # fmt: skip
    parser.add_argument(
        "--add-class", action="append", type=class_in_words, default=[], metavar="NAME: TEXT",
        help="a new class in words, as often as there are; encoded as those of the training were",
    )  # fmt: skip
    parser.add_argument(
        "--text-encoder", type=text_kind, metavar="KIND:NAME",
        help="where the recorded one lies elsewhere now",
    )  # fmt: skip


def class_in_words(text: str) -> dict[str, str]:
    """A row of a class file from ``NAME: TEXT``.

    Raises:
        InputError: either is missing.
    """
    name, _, description = (part.strip() for part in text.partition(":"))
    if not name or not description:
        raise InputError(f'--add-class {text!r}: write "NAME: TEXT"')
    return {"name": name, "description": description}


def picture_path(text: str) -> Path:
    """A montage's file.

    Raises:
        InputError: its ending is of no format.
    """
    path = Path(text)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"--montage {path}: not known by its ending; give .png or .jpg")
    return path
