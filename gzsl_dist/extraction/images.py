"""Where images come from: class folders, tables, WebDataset tars; and how one is read."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from gzsl_dist.errors import InputError
from gzsl_dist.extraction.tables import ROW_SPLITS, TABLES, check_label, read_table

PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar")

LABEL_FILES = ("cls", "json", "txt")
"""Endings that give a WebDataset sample its class, the first that is there."""


@dataclass(frozen=True)
class ImageEntry:
    """One image: where its bytes lie, and what is known of it.

    Attributes:
        name: what messages call it.
        file: the image, or the tar that holds it.
        label: its class; empty where unknown.
        split: what a table says, ``train`` or ``test``; empty elsewhere.
        offset: of its first byte in `file`.
        size: its bytes; -1 for the whole file.
    """

    name: str
    file: str
    label: str = ""
    split: str = ""
    offset: int = 0
    size: int = -1


class UnreadableImageError(Exception):
    """An image that cannot be decoded; the text is the reason alone."""


def find_images(
    sources: Sequence[Path], class_names: Sequence[str] = (), others: list[str] | None = None
) -> list[ImageEntry]:
    """List labelled images, in an order that depends on names alone.

    Args:
        sources: one folder of class folders (torchvision's ImageFolder), or one table with columns
            path, label and perhaps split; or tars in the layout of WebDataset.
        class_names: what the whole numbers of ``.cls`` files count, from 0.
        others: gets the files of class folders whose ending is of no image.

    Raises:
        InputError: none are there, one stands there twice, they cannot be listed, or a label is
            none.
    """
    others = [] if others is None else others
    if packed := [path for path in sources if path.suffix.lower() in PACKED]:
        raise InputError(f"{packed[0]}: is compressed; unpack it first")
    if all(path.suffix.lower() == ".tar" for path in sources):
        entries = [entry for path in sources for entry in _tar_entries(path, class_names)]
    elif len(sources) > 1:
        raise InputError(f"{sources[1]}: give one folder, one table, or several .tar files")
    elif sources[0].suffix.lower() in TABLES:
        entries = _table_entries(sources[0])
    else:
        entries = _folder_entries(sources[0], others)
    if not entries:
        but = f" but {min(others)}, which Pillow does not know by its ending" if others else ""
        raise InputError(f"{sources[0]}: holds no images{but}; {_LAYOUTS}")
    places: dict[tuple[str, int], ImageEntry] = {}
    for entry in entries:
        first = places.setdefault((os.path.normpath(entry.file), entry.offset), entry)
        if first is not entry:
            labels = " and as ".join(map(repr, dict.fromkeys((first.label, entry.label))))
            raise InputError(
                f"{sources[0]}: {entry.name} stands there twice, as {labels}; name it once"
            )
    return entries


def unlabelled_images(sources: Sequence[Path]) -> list[ImageEntry]:
    """List images to be classified: files as given, and all in folders below.

    Raises:
        InputError: none are there, or a folder cannot be listed.
    """
    entries = []
    for source in sources:
        if source.is_dir():
            found = sorted(_image_files(source, source.resolve(), []))
            entries += [ImageEntry(str(path), str(path)) for path in found]
        elif source.exists():
            entries.append(ImageEntry(str(source), str(source)))
        else:
            raise InputError(f"{source}: no such file or folder; check the path")
    if not entries:
        raise InputError(f"{sources[0]}: holds no images; name image files, or a folder of them")
    return entries


_LAYOUTS = "give a folder with a folder a class, a table with path and label, or .tar files"


def _folder_entries(folder: Path, others: list[str]) -> list[ImageEntry]:
    if not folder.is_dir():
        what = "is a file, no folder" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {what}; {_LAYOUTS}")
    root = folder.resolve()
    entries = []
    for name in sorted(_listed(folder)):
        place = folder / name
        if not name.startswith(".") and place.is_dir():
            _inside(place, root)
            label = check_label(name, str(folder))
            files = sorted(_image_files(place, root, others))
            entries += [ImageEntry(str(path), str(path), label) for path in files]
    return entries


def _image_files(folder: Path, root: Path, others: list[str]) -> Iterator[Path]:
    """All files below a folder whose ending Pillow knows, hidden ones left out."""
    known = Image.registered_extensions()
    waiting = [folder]
    while waiting:
        for name in _listed(here := waiting.pop()):
            path = here / name
            if name.startswith("."):
                continue
            if path.is_symlink():
                _inside(path, root)
            if path.is_dir():
                if not path.is_symlink():  # else it may lead into a circle
                    waiting.append(path)
            elif path.suffix.lower() in known:
                yield path
            elif name not in ("Thumbs.db", "desktop.ini"):
                others.append(str(path))


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be listed ({error.strerror}); check its permissions"
        ) from None


def _inside(path: Path, root: Path) -> None:
    try:
        end = path.resolve()
    except (RuntimeError, OSError):  # up to Python 3.12
        raise InputError(f"{path}: a link that leads to itself; remove it") from None
    if not end.is_relative_to(root):
        raise InputError(
            f"{path}: leads out of {root} (a link, or '..'), which is refused; copy what it points "
            "to, or name its own place"
        )


def _table_entries(path: Path) -> list[ImageEntry]:
    root = path.parent.resolve()
    entries = []
    for number, row in enumerate(read_table(path, needs=("path", "label"))):
        where = f"{path}: row {number} (from 0)"
        name, split = str(row["path"] or "").strip(), str(row.get("split") or "").strip()
        if not name or "\0" in name:
            raise InputError(f"{where} has no path of an image; give it one")
        if split.lower() not in ROW_SPLITS:
            raise InputError(f"{where}: split {split!r}; give train, test or nothing")
        split = ROW_SPLITS[split.lower()]
        place = path.parent / name
        if not Path(name).is_absolute():
            _inside(place, root)
        entries.append(ImageEntry(str(place), str(place), check_label(row["label"], where), split))
    return entries


def _tar_entries(path: Path, class_names: Sequence[str]) -> list[ImageEntry]:
    """Samples of a tar: members that share a name up to its first dot."""
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, _, base = member.name.rpartition("/")
                if member.isfile() and not base.startswith("."):  # macOS adds such
                    key, _, ending = base.partition(".")
                    parts = samples.setdefault(f"{folder}/{key}", {})
                    if ending.lower() in parts:
                        raise InputError(
                            f"{path}: two members are called {member.name}; remove one"
                        )
                    parts[ending.lower()] = (member.offset_data, member.size)
        size = path.stat().st_size
    except (tarfile.TarError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{path}: not a plain .tar file, or damaged ({reason}); compressed ones are unpacked "
            "first"
        ) from None
    known = Image.registered_extensions()
    entries = []
    with path.open("rb") as file:
        for key, parts in samples.items():
            images = [end for end in parts if f".{end.rpartition('.')[2]}" in known]
            kinds = [end for end in LABEL_FILES if end in parts]
            where = f"{path}: sample {key.lstrip('/')}"
            if not images:
                continue
            if not kinds:
                raise InputError(f"{where} has no class; put it into a member .cls, .txt or .json")
            offset, length = parts[kinds[0]]
            file.seek(offset)
            label = _tar_label(file.read(length), kinds[0], where, class_names)
            offset, length = parts[images[0]]
            if offset + length > size:
                raise InputError(f"{path}: truncated; copy it again")
            name = f"{path}:{key.lstrip('/')}.{images[0]}"
            entries.append(ImageEntry(name, str(path), label, "", offset, length))
    return entries


def _tar_label(content: bytes, kind: str, where: str, class_names: Sequence[str]) -> str:
    import json

    try:
        value: Any = content.decode("utf-8")
        if kind == "json":
            value = json.loads(value)["label"]
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{where}: .{kind} holds no class; write its name there (JSON: under label)"
        ) from None
    text = check_label(value, where)
    if text.isdecimal() and text not in class_names:
        if int(text) >= len(class_names):
            raise InputError(
                f"{where}: class number {text}, but the class file has {len(class_names)} classes "
                "(numbers count from 0); correct it"
            )
        return class_names[int(text)]
    return text


def read_image(entry: ImageEntry) -> Image.Image:
    """Decode an image: upright, RGB, transparent parts on white.

    Raises:
        UnreadableImageError: it cannot be; the reason.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if entry.size < 0:
                if stat.S_ISFIFO(os.stat(entry.file).st_mode):  # reading would wait for ever
                    raise UnreadableImageError("is a pipe, no file")
                with Image.open(entry.file) as image:
                    return _upright_rgb(image)
            with open(entry.file, "rb") as file:
                file.seek(entry.offset)
                content = io.BytesIO(file.read(entry.size))
            with Image.open(content) as image:
                return _upright_rgb(image)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError("not an image that Pillow knows") from None
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(
            f"{str(error).partition(',')[0]}; Pillow's limit is {2 * (Image.MAX_IMAGE_PIXELS or 0)}"
        ) from None
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from None
    except Exception as error:  # Pillow's plugins raise what their formats provoke
        raise UnreadableImageError(str(error) or type(error).__name__) from None


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16"):  # 16 bits; Pillow would cut them off at 255
        image = image.point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
