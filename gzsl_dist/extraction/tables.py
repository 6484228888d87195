"""Tables of rows and of classes: CSV, TSV, JSON, Parquet."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gzsl_dist.data.feature_files import PANDAS_INDEX
from gzsl_dist.data.hdf5 import check_readable
from gzsl_dist.errors import InputError
from gzsl_dist.extraction.packages import import_package

TABLES = (".csv", ".tsv", ".json", ".parquet")

csv.field_size_limit(1 << 24)  # descriptions may be long


def read_table(path: Path, *, needs: tuple[str, ...]) -> list[dict[str, Any]]:
    """Read the rows of a table.

    Args:
        path: ``.csv``, ``.tsv`` with a header, ``.json`` (a list of objects, or an object of
            descriptions or objects by name), ``.parquet``.
        needs: columns that must be there.

    Returns:
        One dictionary a row.

    Raises:
        InputError: unreadable, of another form, without a needed column, or without rows.
    """
    if path.suffix.lower() not in TABLES:
        raise InputError(f"{path}: not known by its ending; give {', '.join(TABLES)}")
    check_readable(path)
    try:
        rows = _rows(path)
    except InputError:
        raise
    except Exception as error:  # pyarrow and json raise their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: damaged, or not what its ending says ({reason}); save it again"
        ) from None
    if not rows:
        raise InputError(f"{path}: holds no rows; give each a line")
    for name in needs:
        if name not in rows[0]:
            raise InputError(
                f"{path}: lacks the column {name!r}; add it, or give one of its own that name: "
                + ", ".join(map(str, rows[0]))
            )
    return rows


def _rows(path: Path) -> list[dict[str, Any]]:
    kind = path.suffix.lower()
    if kind == ".parquet":
        parquet = import_package("pyarrow.parquet", str(path))
        table = parquet.ParquetFile(path).read()
        index = [name for name in table.column_names if re.fullmatch(PANDAS_INDEX, name)]
        found: list[dict[str, Any]] = table.drop_columns(index).to_pylist()
        return found
    text = read_text(path)
    if kind == ".json":
        return _objects(path, json.loads(text))
    if kind == ".csv":
        check_commas(path, text)
    reader = csv.DictReader(
        text.splitlines(keepends=True), delimiter="\t" if kind == ".tsv" else ",", strict=True
    )
    rows = list(reader)
    for number, row in enumerate(rows):
        if None in row or None in row.values():
            raise InputError(
                f"{path}: row {number} (from 0) has more or fewer values than the header has "
                "columns; quote values that hold a comma"
            )
    return rows


def _objects(path: Path, values: Any) -> list[dict[str, Any]]:
    if isinstance(values, dict):
        values = [
            {"name": name, **value} if isinstance(value, dict) else
            {"name": name, "description": value}
            for name, value in values.items()
        ]  # fmt: skip
    if not isinstance(values, list) or not all(isinstance(row, dict) for row in values):
        raise InputError(f"{path}: must be a list of objects, or an object by class name")
    return values


def read_text(path: Path) -> str:
    """A text in UTF-8.

    Raises:
        InputError: it cannot be read, or is in another encoding.
    """
    check_readable(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a text in UTF-8 ({error.reason} at byte {error.start}); save it as "
            f"UTF-8, as iconv -f latin1 -t utf8 {path} does for Latin-1"
        ) from None


def check_commas(path: Path, text: str) -> None:
    """See that the first line of a CSV file is separated by commas.

    Raises:
        InputError: by semicolons or tabs.
    """
    first = text.partition("\n")[0].partition(",")[0]  # a cell of several, unless it is quoted
    for sign, called in ((";", "semicolons"), ("\t", "tabs")):
        if sign in first and not first.startswith('"'):
            raise InputError(
                f"{path}: its values are separated by {called}; save it with commas"
                + (", and points in numbers" if sign == ";" else ", or call it .tsv")
            )


def read_lines(path: Path) -> list[str]:
    """Lines of a text.

    Raises:
        InputError: as in `read_text`.
    """
    return read_text(path).splitlines()


def reads_as_number(value: object) -> bool:
    """Whether a cell of a table is a number, as a text or already."""
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def check_unique(names: Sequence[str], path: Path) -> None:
    """See that no two classes have one name.

    Raises:
        InputError: two have.
    """
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise InputError(f"{path}: two classes are called {twice!r}; give each its own name")


def check_label(label: object, where: str) -> str:
    """A class name as results print it.

    Raises:
        InputError: it is empty, or holds NUL or a line break.
    """
    text = str(label).strip() if label is not None else ""
    if not text or any(sign in text for sign in "\0\n\r"):
        raise InputError(
            f"{where}: the class name {str(label)!r} is empty or holds NUL or a line break; "
            "give it a readable one"
        )
    return text
