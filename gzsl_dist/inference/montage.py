"""A sheet of images with what they were predicted as."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from gzsl_dist.errors import InputError
from gzsl_dist.extraction.images import ImageEntry, UnreadableImageError, read_image
from gzsl_dist.files import atomic_write

COLUMNS, ROWS, SIDE, CAPTION = 8, 6, 140, 34
SEEN, UNSEEN, TEXT, PAPER = "#0072b2", "#d55e00", "#222222", "#ffffff"


def write_montage(
    path: Path, entries: Sequence[ImageEntry], captions: Sequence[tuple[str, str, bool]]
) -> None:
    """Draw at most 48 of the images, spread evenly over all; frames of unseen classes are red.

    Args:
        path: ``.png`` or ``.jpg``.
        entries: the images.
        captions: of each: the class, a second line, and whether it is an unseen class.

    Raises:
        InputError: it cannot be written.
    """
    count = min(len(entries), COLUMNS * ROWS)
    chosen = [place * len(entries) // count for place in range(count)]
    columns = min(COLUMNS, count)
    cell = (SIDE + 12, SIDE + 12 + CAPTION)
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
        name, further, unseen = captions[row]
        frame = (left - 3, top - 3, left + SIDE + 2, top + SIDE + 2)
        pen.rectangle(frame, outline=UNSEEN if unseen else SEEN, width=3)
        for line, text in enumerate((name, further)):
            while pen.textlength(text, font) > SIDE and len(text) > 2:
                text = f"{text.rstrip('…')[:-1]}…"
            pen.text((left, top + SIDE + 5 + 15 * line), text, TEXT, font)
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if path.suffix.lower() not in kinds:
        raise InputError(f"--montage {path}: not known by its ending; give .png or .jpg")
    content = io.BytesIO()
    sheet.save(content, kinds[path.suffix.lower()])
    atomic_write(path, content.getvalue())
