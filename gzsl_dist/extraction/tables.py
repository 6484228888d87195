"""Tables of rows and of classes: CSV, TSV, JSON, Parquet."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gzsl_dist.data.feature_files import PANDAS_INDEX
from gzsl_dist.data.hdf5 import check_readable
from gzsl_dist.errors import InputError
from gzsl_dist.extraction.packages import import_package

TABLES = (".csv", ".tsv", ".json", ".parquet")

OPTIONAL = {"name": ("description", "split"), "label": ("split",)}
"""Columns that mean something in a table that needs one."""

INDEX = rf"|Unnamed: \d+|{PANDAS_INDEX}"
"""Columns in which pandas writes or reads row numbers; they say nothing of a row."""

ROW_SPLITS = {"": "", "train": "train", "trainval": "train", "seen": "train", "test": "test"}
"""Words for the split of a row, and what they mean."""

csv.field_size_limit(1 << 24)  # descriptions may be long


def read_table(path: Path, *, needs: tuple[str, ...]) -> list[dict[str, Any]]:
    """Read the rows of a table.

    Args:
        path: ``.csv``, ``.tsv`` with a header, ``.json`` (a list of objects, or an object of
            descriptions or objects by name), ``.parquet``.
        needs: columns that must be there.

    Returns:
        One dictionary a row, each with all columns; what an object of JSON lacks is None.

    Raises:
        InputError: unreadable, of another form, without a needed column, with two columns of one
            name, or without rows.
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
    known = {*needs, *(column for name in needs for column in OPTIONAL.get(name, ()))}
    for column in rows[0]:
        if column not in known and column.lower() in known and column.lower() not in rows[0]:
            raise InputError(f"{path}: call the column {column!r} {column.lower()!r}")
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
        kept = _columns(table.column_names, path)
        found: list[dict[str, Any]] = table.select([*kept.values()]).to_pylist()
        return [dict(zip(kept, row.values(), strict=True)) for row in found]
    text = read_text(path)
    if kind == ".json":
        return _objects(path, json.loads(text, object_pairs_hook=_distinct))
    if kind == ".csv":
        check_commas(path, text)
    lines = list(
        csv.reader(
            io.StringIO(text, newline=""), delimiter="\t" if kind == ".tsv" else ",", strict=True,
            skipinitialspace=True,
        )
    )  # fmt: skip
    header, *values = [line for line in lines if line] or [[]]
    for number, line in enumerate(values):
        if len(line) != len(header):
            raise InputError(
                f"{path}: row {number} (from 0) has more or fewer values than the header has "
                "columns; quote values that hold a comma"
            )
    places = _columns(header, path)
    return [{name: line[place] for name, place in places.items()} for line in values]


def _columns(names: Iterable[str], path: Path) -> dict[str, int]:
    """Places of columns by their names, without those of row numbers and without a name.

    Raises:
        InputError: two have one name.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(str(each).strip() for each in names):
        if name in places:
            raise InputError(f"{path}: two columns are called {name!r}; remove or rename one")
        if not re.fullmatch(INDEX, name):
            places[name] = place
    return places


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON.

    Raises:
        ValueError: two of its keys are equal; which one was meant?
    """
    if len(found := dict(pairs)) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice!r} stands there twice in one object")
    return found


def _objects(path: Path, values: Any) -> list[dict[str, Any]]:
    if isinstance(values, dict):
        values = [
            {"name": name, **value} if isinstance(value, dict) else
            {"name": name, "description": value}
            for name, value in values.items()
        ]  # fmt: skip
    if not isinstance(values, list) or not all(isinstance(row, dict) for row in values):
        raise InputError(f"{path}: must be a list of objects, or an object by class name")
    columns = dict.fromkeys(key for row in values for key in row)
    return [{key: row.get(key) for key in columns} for row in values]


def read_text(path: Path) -> str:
    """A text in UTF-8.

    Raises:
        InputError: it cannot be read, or is in another encoding.
    """
    check_readable(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        wide = path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")
        was, called = ("utf16", "UTF-16") if wide else ("latin1", "Latin-1")
        raise InputError(
            f"{path}: not a text in UTF-8 ({error.reason} at byte {error.start}); save it as "
            f"UTF-8, as iconv -f {was} -t utf8 {path} does for {called}"
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
    """A class name as results print it, in Unicode's normal form C, as names are typed.

    Raises:
        InputError: it is empty, or holds NUL or a line break.
    """
    text = composed(str(label).strip()) if label is not None else ""
    if not text or any(sign in text for sign in "\0\n\r"):
        raise InputError(
            f"{where}: the class name {label!r} is empty or holds NUL or a line break; "
            "give it a readable one"
        )
    return text


def composed(text: str) -> str:
    """A text in Unicode's normal form C; folders of macOS have letters and accents apart."""
    return unicodedata.normalize("NFC", text)


def alike(name: str, names: Iterable[str]) -> str:
    """For messages: a name that differs in case, spaces, hyphens and underscores alone."""

    def folded(text: str) -> str:
        return re.sub(r"[\s_-]+", " ", text.strip("\"' ")).casefold()

    wanted = folded(name)
    return next((f", which has {one!r}" for one in names if folded(one) == wanted), "")
