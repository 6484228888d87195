"""Tables, folders and tars as people have them: read as meant, or refused in one line."""

from __future__ import annotations

import io
import json
import os
import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from gzsl_dist.data.store import read_dataset
from gzsl_dist.extract import main
from gzsl_dist.extraction.tables import read_table

from .small import CLASSES, write_problem
from .test_bad_input import fail

Change = Callable[[Path, list[str]], None]


def classes(change: Callable[[str], str]) -> Change:
    """Another class file."""

    def apply(folder: Path, arguments: list[str]) -> None:
        path = folder / "classes.csv"
        path.write_text(change(path.read_text()))

    return apply


def columns(header: str, cells: Callable[[int], str]) -> Change:
    """A column more in the class file."""

    def apply(text: str) -> str:
        first, *lines = text.splitlines()
        more = [f"{line},{cells(number)}" for number, line in enumerate(lines)]
        return "\n".join([f"{first},{header}", *more])

    return classes(apply)


def unseen(text: str) -> Change:
    """Another list of unseen classes."""
    return lambda folder, _: (folder / "unseen.txt").write_text(text) and None


def rows(change: Callable[[list[str]], list[str]], header: str = "path,label") -> Change:
    """A table of the images instead of their folder."""

    def apply(folder: Path, arguments: list[str]) -> None:
        images = sorted((folder / "images").rglob("*.png"))
        lines = [f"{path.relative_to(folder)},{path.parent.name}" for path in images]
        (folder / "rows.csv").write_text("\n".join([header, *change(lines)]))
        arguments[0] = str(folder / "rows.csv")

    return apply


def table(name: str, ending: str, text: str, option: str = "") -> Change:
    """A file of its own."""

    def apply(folder: Path, arguments: list[str]) -> None:
        path = folder / f"{name}.{ending}"
        path.write_text(text)
        arguments[arguments.index(option) + 1 if option else 0] = str(path)

    return apply


def tar(members: Callable[[str, bytes], list[tuple[str, bytes]]], times: int = 1) -> Change:
    """A tar of the images instead of their folder."""

    def apply(folder: Path, arguments: list[str]) -> None:
        with tarfile.open(folder / "shard.tar", "w") as file:
            for path in sorted((folder / "images").rglob("*.png")):
                key = f"{path.parent.name}_{path.stem}"
                for ending, content in (
                    ("cls", path.parent.name.encode()), ("png", path.read_bytes()),
                ):  # fmt: skip
                    for name, data in members(f"{key}.{ending}", content):
                        info = tarfile.TarInfo(name)
                        info.size = len(data)
                        file.addfile(info, io.BytesIO(data))
        arguments[:1] = [str(folder / "shard.tar")] * times

    return apply


def renamed(old: str, new: str) -> Change:
    return lambda folder, _: (folder / "images" / old).rename(folder / "images" / new) and None


def decomposed(folder: Path, arguments: list[str]) -> None:
    """A folder as macOS names it, in a class file as people type it."""
    renamed("cat", unicodedata.normalize("NFD", "élan"))(folder, arguments)
    classes(lambda text: text.replace("cat,", "élan,"))(folder, arguments)


def hidden(folder: Path, arguments: list[str]) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png", "cat/._0.png"):
        (folder / "images" / name).write_bytes(b"x")
    (folder / "images" / "__MACOSX").mkdir()


def loop(folder: Path, arguments: list[str]) -> None:
    (folder / "images" / "cat" / "l.png").symlink_to(folder / "images" / "cat" / "l.png")


READ: dict[str, Change] = {
    "a byte order mark and CRLF": lambda folder, _: (
        (folder / "classes.csv").write_bytes(
            b"\xef\xbb\xbf" + (folder / "classes.csv").read_bytes().replace(b"\n", b"\r\n")
        )
        and None
    ),
    "blanks after commas": classes(lambda text: text.replace(",", ", ", 1).replace(',"', ', "')),
    "row numbers of pandas": classes(
        lambda text: "\n".join(
            f"{number or ''},{line}" for number, line in enumerate(text.splitlines())
        )
    ),
    "columns without a name, of a spreadsheet": columns(",", lambda _: ","),
    "unseen classes with blanks, empty lines and one twice": unseen("\n okapi \n\n\tyak\nyak\n\n"),
    "accents apart": decomposed,
    "hidden files": hidden,
    "endings in capitals": lambda folder, _: (
        [path.rename(path.with_suffix(".PNG")) for path in (folder / "images").rglob("*.png")]
        and None
    ),
    "a table with blanks": rows(
        lambda lines: [f" {line.replace(',', ' , ')} " for line in lines], "path , label"
    ),
    "a table with empty lines": rows(lambda lines: "\n\n".join(lines).split("\n")),
    "a tar of macOS": tar(lambda name, data: [(name, data), (f"._{name}", b"x")]),
    "a tar of folders": tar(lambda name, data: [(f"./train/{name}", data)]),
    "numbers with a line break in a tar": tar(
        lambda name, data: (
            [(name, f"{CLASSES.index(data.decode())}\n".encode())]
            if name.endswith("cls")
            else [(name, data)]
        )
    ),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("plain")
    assert main([*write_problem(folder), "--out", str(folder / "out.h5")]) == 0
    return str(read_dataset(folder / "out.h5").features[:].tobytes().hex())


@pytest.mark.parametrize("case", READ)
def test_it_is_read_as_it_is_meant(case: str, plain: str, tmp_path: Path) -> None:
    arguments = write_problem(tmp_path)
    READ[case](tmp_path, arguments)
    assert main([*arguments, "--out", str(tmp_path / "out.h5")]) == 0
    data = read_dataset(tmp_path / "out.h5")
    assert data.semantics.shape == (len(CLASSES), 8)
    assert [data.classes[number] for number in data.unseen_classes] == ["okapi", "yak"]
    if case != "accents apart":  # their images stand elsewhere
        assert data.features[:].tobytes().hex() == plain
    assert data.origin["text_encoder"]["template"] == "a photo of a {name}. {description}"


JSON = [{"name": name, "description": f"A {name}."} for name in CLASSES]
REFUSED: dict[str, tuple[Change, str]] = {
    "a column twice": (columns("description", str), "two columns are called 'description'"),
    "a column in capitals": (
        classes(lambda text: text.replace("description", "Description", 1)),
        "call the column 'Description' 'description'",
    ),
    "decimal commas": (
        columns("legs", lambda number: f'"{number},5"'), "has '0,5' for 'legs'; write numbers with",
    ),
    "true and false": (columns("wild", lambda _: "True"), "has 'True' for 'wild'; write numbers"),
    "a number beyond float32": (
        columns("legs", lambda _: "1e300"), "has '1e300' for 'legs'; give a number (in float32)",
    ),
    "unseen classes in capitals": (unseen("Okapi\nyak\n"), "the class file, which has 'okapi' (1"),
    "UTF-16": (
        lambda folder, _: (folder / "unseen.txt").write_bytes("okapi".encode("utf-16")) and None,
        "iconv -f utf16 -t utf8",
    ),
    "a folder in capitals": (renamed("cat", "Cat"), "class file, which has 'cat' (1 such classes)"),
    "an image under two labels": (
        rows(lambda lines: [*lines, "images/cat/0.png,dog"]),
        "cat/0.png stands there twice, as 'cat' and as 'dog'",
    ),
    "an image twice": (
        rows(lambda lines: [*lines, lines[0]]), "0.png stands there twice, as 'cat'; name it once",
    ),
    "a row without label": (
        table("rows", "json", json.dumps([{"path": "a.png", "label": "cat"}, {"path": "b.png"}])),
        "row 1 (from 0): the class name None is empty",
    ),
    "a row without path": (
        table("rows", "json", json.dumps([{"path": "a.png", "label": "cat"}, {"label": "cat"}])),
        "row 1 (from 0) has no path of an image",
    ),
    "a class without name": (
        table("c", "json", json.dumps([*JSON, {"nom": "rat"}]), "--classes"),
        "row 7 (from 0): the class name None is empty",
    ),
    "the first class without description": (
        table("c", "json", json.dumps([{"name": "cat"}, *JSON[1:]]), "--classes"),
        "a description of class 'cat' is empty",
    ),
    "a class twice in an object": (
        table("c", "json", '{"cat": "A cat.", "cat": "A dog."}', "--classes"),
        "'cat' stands there twice in one object",
    ),
    "a link to itself": (loop, "l.png: a link that leads to itself; remove it"),
    "a pipe": (
        lambda folder, _: os.mkfifo(folder / "images" / "cat" / "f.png"), "f.png: is a pipe",
    ),
    "one image": (
        lambda folder, given: given.__setitem__(0, f"{given[0]}/cat/0.png"),
        "0.png: is a file, no folder; give",
    ),
    "a compressed tar": (table("shard", "tar.gz", ""), "shard.tar.gz: is compressed; unpack it"),
    "a tar with a name twice": (
        tar(lambda name, data: [(name, data)] * 2), "two members are called cat_0.cls; remove one",
    ),
    "a tar twice": (
        tar(lambda name, data: [(name, data)], times=2), "cat_0.png stands there twice",
    ),
    "images of another ending alone": (
        lambda folder, _: [
            path.rename(path.with_suffix(".heic")) for path in (folder / "images").rglob("*.png")
        ]
        and None,
        "0.heic, which Pillow does not know by its ending",
    ),
    **{
        f"the template {template}": (
            lambda _, given, template=template: given.extend(["--template", template]),  # type: ignore[misc]
            f"--template '{template}': cannot be filled",
        )
        for template in ("a {name:d}", "a {name!z}", "a {name:{x}}")
    },
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_one_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_problem(tmp_path)
    change, expected = REFUSED[case]
    change(tmp_path, arguments)
    assert expected in fail([*arguments, "--out", str(tmp_path / "out.h5")], capsys)
    assert not (tmp_path / "out.h5").exists()


def test_what_counts_for_nothing_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A class that loses its images, files and columns that are not read, and the template."""
    arguments = write_problem(tmp_path)
    columns("id,habitat", lambda number: f"{number + 1},woods")(tmp_path, arguments)
    for path in (tmp_path / "images" / "fox").iterdir():
        path.rename(path.with_suffix(".heic"))
    assert main([*arguments, "--out", str(tmp_path / "out.h5")]) == 0
    shown = capsys.readouterr().out
    assert "text of a class: a photo of a {name}. {description}" in shown
    assert "1 attributes: id" in shown
    assert "columns of the class file that are not used: habitat" in shown
    assert "5 files are no images by their endings and left out, such as" in shown
    note = "images to train on of 1 classes that nobody called unseen, such as 'fox'"
    assert shown.count(note) == 2  # before hours are spent, and at the end
    assert note in read_dataset(tmp_path / "out.h5").missing[0]


def test_splits_of_rows_in_any_case(tmp_path: Path) -> None:
    arguments = write_problem(tmp_path)
    marked = rows(
        lambda lines: [f"{line},{'Test' if '/0.' in line else 'Train'}" for line in lines],
        "path,label,split",
    )
    marked(tmp_path, arguments)
    assert main([*arguments, "--out", str(tmp_path / "out.h5")]) == 0
    assert len(read_dataset(tmp_path / "out.h5").splits["test_seen"]) == 5


def test_unusual_signs_end_no_line(tmp_path: Path) -> None:
    """Those that only Python's splitlines takes for line breaks, such as of Latin-1's dots."""
    path = tmp_path / "classes.csv"
    path.write_text("name,description\ncat,A cat\x85 or\u2028 two.\n", encoding="utf-8")
    assert read_table(path, needs=()) == [{"name": "cat", "description": "A cat\x85 or\u2028 two."}]


def test_columns_that_mean_nothing_are_called_as_one_likes(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("Path,Name,label\na.png,A,cat\n")
    assert read_table(path, needs=("label",))[0]["label"] == "cat"
