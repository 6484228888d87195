"""What cannot be extracted: one line that names it, exit code 2, and nothing is lost."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from gzsl_dist.command import run_command
from gzsl_dist.data.store import read_dataset
from gzsl_dist.errors import InputError
from gzsl_dist.extract import main
from gzsl_dist.extraction import part_file

from .small import HERE, write_problem


def fail(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    """The one line of a command that must fail."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        run_command(main, arguments)
    errors = capsys.readouterr().err
    assert end.value.code == code, errors
    assert len(errors.splitlines()) == 1
    assert errors.startswith("error: ")
    return errors


def _classes(*lines: str) -> Callable[[Path], list[str]]:
    def change(folder: Path) -> list[str]:
        (folder / "classes.csv").write_text("\n".join(lines) + "\n")
        return []

    return change


def _lines(folder: Path) -> list[str]:
    return (folder / "classes.csv").read_text().splitlines()


def _edit(change: Callable[[list[str]], list[str]]) -> Callable[[Path], list[str]]:
    return lambda folder: _classes(*change(_lines(folder)))(folder)


def no_images(folder: Path) -> list[str]:
    for path in (folder / "images").rglob("*.png"):
        path.unlink()
    return []


def unknown_class(folder: Path) -> list[str]:
    (folder / "images" / "zebra").mkdir()
    Image.new("RGB", (9, 9)).save(folder / "images" / "zebra" / "0.png")
    return []


def huge(folder: Path) -> list[str]:
    """A header of 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        check = zlib.crc32(name + data)
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)
    (folder / "images" / "cat" / "0.png").write_bytes(content)
    return []


def truncated(folder: Path) -> list[str]:
    path = folder / "images" / "dog" / "z.jpg"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-300])
    return []


def no_image(folder: Path) -> list[str]:
    (folder / "images" / "dog" / "z.jpg").write_text("words")
    return []


def link(folder: Path) -> list[str]:
    (folder / "outside.png").write_bytes((folder / "images/cat/0.png").read_bytes())
    (folder / "images" / "cat" / "l.png").symlink_to(folder / "outside.png")
    return []


def one_image(folder: Path) -> list[str]:
    for place in range(1, 5):
        (folder / "images" / "fox" / f"{place}.png").unlink()
    return []


def newline(folder: Path) -> list[str]:
    (folder / "images" / "cat").rename(folder / "images" / "c\nat")
    return []


def nul(folder: Path) -> list[str]:
    (folder / "rows.json").write_text('[{"path": "images/cat/0.png", "label": "c\\u0000at"}]')
    return [f"IMAGES={folder / 'rows.json'}"]


def unknown_unseen(folder: Path) -> list[str]:
    (folder / "unseen.txt").write_text("okapi\nzebra\n")
    return []


CASES: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no images": (no_images, "holds no images; give a folder with a folder a class"),
    "class not in the class file": (unknown_class, "class 'zebra' (1 images) is not in the class"),
    "the reverse with --strict": (
        lambda folder: [*_edit(lambda old: [*old, "rat,A rat."])(folder), "--strict"],
        "--strict: class 'rat' has no images",
    ),
    "two classes of one name": (_edit(lambda old: [*old, old[1]]), "two classes are called 'cat'"),
    "two classes of one embedding": (
        lambda folder: [
            *_edit(lambda old: [*old, old[-1].replace("yak,", "yak_,", 1)])(folder),
        ],
        "classes 'yak' and 'yak_' have the same semantics",
    ),
    "a comma without quotes": (
        _edit(lambda old: [*old, "rat,A rat, grey."]), "row 7 (from 0) has more or fewer",
    ),
    "equal texts": (
        lambda folder: ["--template", "an animal"], "all classes have the same semantics",
    ),
    "empty description": (
        _edit(lambda old: [*old[:-1], "yak, "]), "a description of class 'yak' is empty",
    ),
    "NaN": (lambda folder: ["--image-encoder", f"{HERE}:nan"], "gives NaN or infinite values"),
    "another width": (
        lambda folder: ["--image-encoder", f"{HERE}:width"], "gives 6 values, and gave 3 before",
    ),
    "4-d output": (
        lambda folder: ["--image-encoder", f"{HERE}:maps"], "gives 4-d output (4, 3, 16, 16)",
    ),
    "60,000 x 60,000": (huge, "0.png: Image size (3600000000 pixels) exceeds limit of 178956970"),
    "truncated JPEG": (truncated, "z.jpg: image file is truncated"),
    "no image": (no_image, "z.jpg: not an image that Pillow knows"),
    "link out of the folder": (link, "l.png: leads out of"),
    "label with a line break": (newline, "holds NUL or a line break"),
    "label with NUL": (nul, "holds NUL or a line break"),
    "unknown unseen class": (unknown_unseen, "'zebra' is no class of the class file"),
    "a seen class with one image": (one_image, "class 'fox' has one image"),
    "unknown kind": (
        lambda folder: ["--image-encoder", "vit"], "give KIND:NAME, where KIND is timm",
    ),
    "no such function": (
        lambda folder: ["--image-encoder", f"{HERE}:nothing"], "cannot be imported",
    ),
    "no text encoder": (lambda folder: ["--text-encoder="], "give --text-encoder"),
    "column of the template": (
        lambda folder: ["--template", "{colour}"], "{colour} is no column",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_problem(tmp_path)
    change, expected = CASES[case]
    given = change(tmp_path)
    if given and given[0].startswith("IMAGES="):
        arguments[0] = given.pop(0).removeprefix("IMAGES=")
    if given == ["--text-encoder="]:
        at = arguments.index("--text-encoder")
        del arguments[at : at + 2]
        given = []
    out = tmp_path / "out.h5"
    assert expected in fail([*arguments, *given, "--out", str(out)], capsys)
    assert not out.exists()


def test_a_folder_without_read_permission(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = write_problem(tmp_path)
    listed = os.listdir

    def refuse(path: Path) -> list[str]:  # root may read all
        if str(path).endswith("dog"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "listdir", refuse)
    line = fail([*arguments, "--out", str(tmp_path / "out.h5")], capsys)
    assert "dog: cannot be listed (Permission denied)" in line


def test_a_full_disk_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*write_problem(tmp_path), "--out", str(tmp_path / "out.h5")]
    written = part_file.PartFile.write
    calls = []

    def full(self: part_file.PartFile, *given: object) -> None:
        calls.append(self.name)
        if calls.count("images") == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
        written(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(part_file.PartFile, "write", full)
    assert "No space left on device; make room, the same command" in fail(arguments, capsys)
    calls[:] = ["images"] * 10
    assert main(arguments) == 0
    assert calls.count("images") - 10 == 9 - 2  # of 35 images, by fours
    read_dataset(tmp_path / "out.h5")


def test_bad_images_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_problem(tmp_path)
    assert main([*arguments, "--out", str(tmp_path / "whole.h5")]) == 0
    truncated(tmp_path)
    huge(tmp_path)
    assert main([*arguments, "--out", str(tmp_path / "out.h5"), "--skip-bad"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("left out: ") == 2
    assert "z.jpg: image file is truncated" in shown
    whole, rest = (read_dataset(tmp_path / f"{name}.h5") for name in ("whole", "out"))
    np.testing.assert_array_equal(rest.features[:], whole.features[1:])  # without cat/0.png
    assert rest.origin["images"] == {"encoded": 34, "left_out": 2}


def test_other_settings_do_not_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*write_problem(tmp_path), "--out", str(tmp_path / "out.h5")]
    fail([*arguments, "--image-encoder", f"{HERE}:nan"], capsys)
    line = fail(arguments, capsys)
    assert "holds an unfinished extraction that differs in: image encoder" in line
    assert main([*arguments, "--overwrite"]) == 0


@pytest.mark.parametrize("remedy", ["removed", "repaired", "skipped"])
def test_after_a_bad_image_the_encoded_ones_are_kept(
    remedy: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Batches of the same unchanged images; the file is that of an extraction never stopped."""
    arguments = [*write_problem(tmp_path), "--name", "animals"]
    bad, out = tmp_path / "images" / "fox" / "2.png", tmp_path / "out.h5"  # image 17, batch 4
    content = bad.read_bytes()
    bad.write_bytes(content[:60])
    assert "2.png" in fail([*arguments, "--out", str(out)], capsys)
    journal = tmp_path / "out.h5.extracting" / "images.0.jsonl"
    assert journal.read_text().count("batch") == 4
    if remedy == "removed":
        bad.unlink()
    elif remedy == "repaired":
        bad.write_bytes(content)
    else:
        arguments.append("--skip-bad")
    written, batches = part_file.PartFile.write, []

    def write(self: part_file.PartFile, batch: int, *given: object) -> None:
        batches.append((self.name, batch))
        written(self, batch, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(part_file.PartFile, "write", write)
    assert main([*arguments, "--out", str(out)]) == 0
    assert [number for name, number in batches if name == "images"] == [4, 5, 6, 7, 8]
    assert main([*arguments, "--out", str(tmp_path / "whole.h5")]) == 0
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_changed_images_are_never_taken_for_the_encoded_ones(tmp_path: Path) -> None:
    folder, rows = tmp_path / "part", np.ones((2, 3), dtype=np.float32)
    folder.mkdir()
    first = part_file.PartFile(folder, "images", 6, 2, ["a", "b", "c"])
    for batch in range(3):
        first.write(batch, batch * rows, {}, rank=batch)
    second = part_file.PartFile(folder, "images", 4, 2, ["a", "x"])
    assert second.prune(overwrite=False) == 2
    second.read_journals()
    assert second.done == {0}
    second.write(1, 9 * rows, {}, rank=1)
    back = part_file.PartFile(folder, "images", 6, 2, ["a", "b", "c"])  # as at first
    assert back.prune(overwrite=False) == 1
    back.read_journals()
    assert back.done == {0}  # at the place of batch 1 lies another one now
    other = part_file.PartFile(folder, "images", 6, 2, ["d", "e", "f"])
    with pytest.raises(InputError, match="unfinished extraction of other images"):
        other.prune(overwrite=False)
    assert other.prune(overwrite=True) == 1


def test_a_hundred_thousand_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_problem(tmp_path)
    rng = np.random.default_rng(0)
    names = [*(path.name for path in (tmp_path / "images").iterdir())]
    names += [f"class {number}" for number in range(100_000)]
    lines = (
        ",".join(["name", *"abc"]),
        *(
            f"{name},{a:.6f},{b:.6f},{c:.6f}"
            for name, (a, b, c) in zip(names, rng.random((len(names), 3)), strict=True)
        ),
    )
    (tmp_path / "classes.csv").write_text("\n".join(lines))
    at = arguments.index("--text-encoder")
    del arguments[at : at + 2]
    assert main([*arguments, "--out", str(tmp_path / "out.h5")]) == 0
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["semantics"].shape == (100_007, 3)
