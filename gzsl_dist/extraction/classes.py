"""The class file: names, descriptions, attributes and splits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np

from gzsl_dist.data.dataset import FloatArray
from gzsl_dist.errors import InputError
from gzsl_dist.extraction.tables import check_label, check_unique, read_table, reads_as_number

SPLITS = ("seen", "val", "unseen")


@dataclass(frozen=True)
class ClassTable:
    """What a class file says.

    Attributes:
        names: of the classes, in its order.
        texts: the descriptions of each class as they are encoded; empty without a template.
        attributes: ``(classes, attributes)`` or None.
        attribute_names: what they are.
        splits: ``seen``, ``val``, ``unseen`` or nothing, a class; empty without such a column.
        template: that made the texts.
        unused: columns that count for nothing.
    """

    names: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    attributes: FloatArray | None
    attribute_names: tuple[str, ...]
    splits: tuple[str, ...]
    template: str
    unused: tuple[str, ...] = ()


def read_classes(path: Path, template: str | None, *, with_texts: bool) -> ClassTable:
    """Read a class file.

    Args:
        path: a table with the column ``name``; ``description`` (also ``description_2`` and so on,
            or a list in JSON and Parquet); ``split``; all other columns of numbers that the
            template does not use are attributes.
        template: text with ``{name}``, ``{description}`` or any column of the file in braces; None
            chooses by what the file has. Hyphens and underscores of names become spaces.
        with_texts: whether words are encoded at all.

    Raises:
        InputError: unreadable; a name twice; an empty description; a missing or infinite number;
            a template with a column that is not there; nothing that describes the classes.
    """
    rows = read_table(path, needs=("name",))
    names = class_names(rows, path)
    described = any(is_description(column) for column in rows[0])
    if template is None:
        template = "a photo of a {name}. {description}" if described else "a photo of a {name}."
    texts: tuple[tuple[str, ...], ...] = ()
    if with_texts:
        texts = tuple(class_texts(row, template, str(path)) for row in rows)
    used = {"name", "split", *(_fields(template, str(path)) if with_texts else ())}
    columns = [name for name in rows[0] if name not in used and not is_description(name)]
    columns = [name for name in columns if _is_numeric(name, rows, path)]
    used |= {name for name in rows[0] if "description" in used and is_description(name)}
    unused = tuple(name for name in rows[0] if name not in used and name not in columns)
    if not with_texts and not columns:
        raise InputError(
            f"{path}: has no columns of numbers, so its words must be encoded; give --text-encoder"
        )
    attributes = None
    if columns:
        attributes = np.array(
            [[_number(row.get(name), name, row["name"], path) for name in columns] for row in rows],
            dtype=np.float32,
        )
    splits = tuple(_split(row["split"], path) for row in rows) if "split" in rows[0] else ()
    return ClassTable(
        names, texts, attributes, tuple(columns), splits, template if with_texts else "", unused
    )


def class_names(rows: Sequence[dict[str, Any]], path: Path) -> tuple[str, ...]:
    """Names of a class file's rows.

    Raises:
        InputError: a name is empty, cannot be written, or stands there twice.
    """
    names = tuple(
        check_label(row["name"], f"{path}: row {number} (from 0)")
        for number, row in enumerate(rows)
    )
    check_unique(names, path)
    return names


def class_texts(row: dict[str, Any], template: str, where: str) -> tuple[str, ...]:
    """The texts of one class: the template filled once for each description.

    Raises:
        InputError: a description is empty, or the template has a column that is not there, or that
            this class (of JSON or Parquet) has nothing in.
    """
    fields = _fields(template, where)
    descriptions: list[Any] = []
    for column, value in row.items():
        if is_description(column):
            first = column == "description"
            if isinstance(value, list):
                descriptions += value
            elif first or str(value if value is not None else "").strip():
                descriptions.append(value)
    if "description" in fields and not descriptions:
        raise InputError(f"{where}: class {row['name']!r} has no description; write one")
    if any(not str(text if text is not None else "").strip() for text in descriptions):
        raise InputError(f"{where}: a description of class {row['name']!r} is empty; write one")
    if absent := [name for name in fields if name not in row and name != "description"]:
        raise InputError(
            f"{where}: the template's {{{absent[0]}}} is no column; there are "
            f"{', '.join(map(str, row))}"
        )
    if lacking := [name for name in fields if name != "description" and row[name] is None]:
        raise InputError(
            f"{where}: class {row['name']!r} has no {lacking[0]!r}, which the template has; write "
            "it"
        )
    values = {
        name: str(value).replace("-", " ").replace("_", " ").strip() for name, value in row.items()
    }
    several = descriptions if "description" in fields else [""]
    return tuple(template.format(**values | {"description": str(text).strip()}) for text in several)


def is_description(column: str) -> bool:
    """Whether a column of a class file holds one of its descriptions."""
    return column == "description" or column.startswith("description_")


def _fields(template: str, where: str) -> tuple[str, ...]:
    try:
        found = tuple(name for _, name, _, _ in Formatter().parse(template) if name is not None)
    except ValueError as error:
        raise InputError(f"--template {template!r}: {error}") from None
    if bad := [name for name in found if not name.isidentifier()]:
        raise InputError(f"--template {template!r}: {{{bad[0]}}} is no name of a column")
    try:
        template.format(**dict.fromkeys(found, ""))
    except (ValueError, KeyError, IndexError) as error:
        raise InputError(
            f"--template {template!r}: cannot be filled ({error}); write names of columns in "
            "braces, and nothing else there"
        ) from None
    return found


def _is_numeric(column: str, rows: Sequence[dict[str, Any]], path: Path) -> bool:
    """Whether all values that are there are numbers.

    Raises:
        InputError: most of them are, or are meant to be; a slip must not cost a column.
    """
    given = [row for row in rows if row.get(column) not in (None, "")]
    words = [row for row in given if not reads_as_number(row[column])]
    if words and all(_meant_as_number(row[column]) for row in given):
        raise InputError(
            f"{path}: class {words[0]['name']!r} has {words[0][column]!r} for {column!r}; write "
            "numbers with points, and 1 and 0 for true and false"
        )
    if words and 2 * len(words) < len(given):
        raise InputError(
            f"{path}: class {words[0]['name']!r} has {words[0][column]!r} for {column!r}, where "
            "other classes have numbers; give a number"
        )
    return bool(given) and not words


def _meant_as_number(value: Any) -> bool:
    text = str(value).strip().lower()
    return text in ("true", "false") or reads_as_number(text.replace(",", ".", 1))


def _number(value: Any, column: str, name: str, path: Path) -> float:
    number = float(value) if value not in (None, "") else math.nan
    if not abs(number) <= float(np.finfo(np.float32).max):
        raise InputError(
            f"{path}: class {name!r} has {value!r} for {column!r}; give a number (in float32)"
        )
    return number


def _split(value: Any, path: Path) -> str:
    text = str(value or "").strip().lower()
    text = {"train": "seen", "test": "unseen"}.get(text, text)
    if text and text not in SPLITS:
        raise InputError(f"{path}: split {text!r} of a class; give seen, val or unseen")
    return text
