"""The sheet of images: whole names, and right or wrong without colours."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from gzsl_dist.extraction.images import ImageEntry
from gzsl_dist.inference.montage import SIDE, write_montage


def test_long_names_are_wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    drawn: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *args, **_: drawn.append(args[2]))
    name = "Tropicana-Juice-Golden-Grapefruit_Carton of " + 40 * "w"
    entry = ImageEntry("a.png", str(tmp_path / "a.png"))
    write_montage(tmp_path / "sheet.png", [entry], [(name, "unseen, 9%", True)], [""])
    assert "".join(drawn[:-1]).replace(" ", "") == name.replace(" ", "")
    assert drawn[0] == "Tropicana-Juice-Golden-"
    font = ImageFont.load_default(12)
    assert all(font.getlength(line) <= SIDE for line in drawn)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (SIDE + 12, SIDE + 16 + 15 * len(drawn))


def test_right_and_wrong_differ_in_grey(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    entry = ImageEntry("a.png", str(tmp_path / "a.png"))
    pictures = set()
    for true in ("cat", "dog", ""):
        write_montage(tmp_path / "sheet.png", [entry], [("cat", "seen, 9%", False)], [true])
        with Image.open(tmp_path / "sheet.png") as sheet:
            pictures.add(sheet.convert("L").crop((0, 0, SIDE, SIDE)).tobytes())
    assert len(pictures) == 3
