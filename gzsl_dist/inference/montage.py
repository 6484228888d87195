"""A sheet of images with what they were predicted as."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from gzsl_dist.extraction.images import ImageEntry, UnreadableImageError, read_image
from gzsl_dist.files import atomic_write

COLUMNS, ROWS, SIDE, LINE = 8, 6, 140, 15
SEEN, UNSEEN, TEXT, PAPER = "#0072b2", "#d55e00", "#222222", "#ffffff"


def write_montage(
    path: Path,
    entries: Sequence[ImageEntry],
    captions: Sequence[tuple[str, str, bool]],
    true: Sequence[str],
) -> None:
    """Draw at most 48 of the images, spread evenly over all; frames of unseen classes are red.

    Where its class is known, an image bears a tick or a cross, and words below it say the same.

    Args:
        path: ``.png`` or ``.jpg``.
        entries: the images.
        captions: of each: the class, a second line, and whether it is an unseen class.
        true: the class of each; empty where unknown.

    Raises:
        InputError: it cannot be written.
    """
    count = min(len(entries), COLUMNS * ROWS)
    chosen = [place * len(entries) // count for place in range(count)]
    columns = min(COLUMNS, count)
    lines = [_caption(*captions[row][:2], true[row]) for row in chosen]
    cell = (SIDE + 12, SIDE + 16 + LINE * max(map(len, lines)))
    size = (columns * cell[0], -(-count // columns) * cell[1])
    sheet, font = Image.new("RGB", size, PAPER), ImageFont.load_default(12)
    pen = ImageDraw.Draw(sheet)
    for place, row in enumerate(chosen):
        left, top = place % columns * cell[0] + 6, place // columns * cell[1] + 6
        try:
            image = ImageOps.fit(read_image(entries[row]), (SIDE, SIDE))
        except UnreadableImageError:
            continue
        sheet.paste(image, (left, top))
        frame = (left - 3, top - 3, left + SIDE + 2, top + SIDE + 2)
        pen.rectangle(frame, outline=UNSEEN if captions[row][2] else SEEN, width=3)
        if true[row]:
            _mark(pen, left + SIDE - 23, top + 2, right=true[row] == captions[row][0])
        for line, text in enumerate(lines[place]):
            pen.text((left, top + SIDE + 5 + LINE * line), text, TEXT, font)
    content = io.BytesIO()
    sheet.save(content, "PNG" if path.suffix.lower() == ".png" else "JPEG")
    atomic_write(path, content.getvalue())


def _caption(name: str, further: str, true: str) -> list[str]:
    verdict = ("right" if true == name else f"wrong: {true}") if true else ""
    return [line for text in (name, further, verdict) for line in _wrapped(text)]


def _wrapped(text: str) -> list[str]:
    """All of a text in lines of an image's width, broken after blanks, hyphens and underscores."""
    font, lines = ImageFont.load_default(12), [""]
    for piece in re.split(r"(?<=[\s_-])", text):
        if font.getlength(lines[-1] + piece.rstrip()) > SIDE:
            lines.append("")
        for character in piece:
            if font.getlength(lines[-1] + character) > SIDE:
                lines.append("")
            lines[-1] += character
    return [line.strip() for line in lines if line.strip()]


def _mark(pen: ImageDraw.ImageDraw, left: int, top: int, *, right: bool) -> None:
    pen.rectangle((left, top, left + 20, top + 20), PAPER, TEXT)
    tick, cross = ([(4, 11), (8, 16), (16, 4)],), ([(4, 4), (16, 16)], [(16, 4), (4, 16)])
    for stroke in tick if right else cross:
        pen.line([(left + x, top + y) for x, y in stroke], TEXT, 3)
