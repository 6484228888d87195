"""The encoders that a data set's or a model's record names, found again and checked by hash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gzsl_dist.data.dataset import FloatArray
from gzsl_dist.errors import InputError
from gzsl_dist.extraction.classes import class_texts
from gzsl_dist.extraction.encode import checked, image_batches, image_function
from gzsl_dist.extraction.encoder import ImageEncoder, TextEncoder, class_embeddings
from gzsl_dist.extraction.image_encoders import image_encoder
from gzsl_dist.extraction.images import ImageEntry
from gzsl_dist.extraction.part_file import PartFile
from gzsl_dist.extraction.text_encoders import text_encoder

OWN_CODE = "python:gzsl_dist."


def encode_images(
    origin: dict[str, Any],
    entries: Sequence[ImageEntry],
    given: str | None = None,
    *,
    batch_size: int = 16,
    workers: int = 0,
    skip_bad: bool = False,
) -> tuple[FloatArray, dict[int, str]]:
    """Features of images as those of the training were made.

    Args:
        origin: of the training data, `gzsl_dist.data.dataset.Dataset.origin`.
        entries: the images.
        given: encoder to use instead of the recorded name; its weights must be the same.
        batch_size: images at a time.
        workers: processes that read images.
        skip_bad: note images that cannot be read, instead of stopping.

    Returns:
        ``(images, d_x)``, and the images that could not be read (their rows are 0), with reasons.

    Raises:
        InputError: no encoder is recorded, it is another one, or an image cannot be read.
    """
    record = origin.get("image_encoder")
    if not record:
        raise InputError(
            "the model does not know how its features were made; give --features, or train on a "
            "file that gzsl_dist.extract made"
        )
    name = _name(record, given, "--image-encoder")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = (record.get("preprocessing") or {}) if name.startswith(("torchscript:", "onnx:")) else {}
    encoder = image_encoder(name, device, size.get("size"))
    _same(encoder, record, "--image-encoder")
    if json.loads(json.dumps(encoder.preprocessing)) != record["preprocessing"]:
        raise InputError(
            f"--image-encoder {name}: prepares images in another way than the training did; use "
            f"the recorded {record['name']} (versions: {record['versions']})"
        )
    part = PartFile(Path(), "images", len(entries), batch_size)
    encode = image_function(encoder, record["precision"])
    found: list[FloatArray] = []
    bad: dict[int, str] = {}
    read = image_batches(entries, part, encoder.transform, workers)
    with torch.no_grad():
        for number, images, wrong in read(list(range(part.batches))):
            if wrong and not skip_bad:
                row = min(wrong)
                raise InputError(
                    f"{entries[row].name}: {wrong[row]}; leave such images out with --skip-bad"
                )
            bad |= wrong
            found.append(
                checked(encode(images), part, number, wrong, lambda row: entries[row].name)
            )
    return np.concatenate(found), bad


def encode_classes(
    origin: dict[str, Any], rows: Sequence[dict[str, Any]], where: str, given: str | None = None
) -> FloatArray:
    """Semantics of classes by their words, ``(classes, d_a)``, as those of the training.

    Args:
        origin: of the training data.
        rows: of a class file: name, description and what the template asks for besides.
        where: begins errors.
        given: encoder to use instead of the recorded name; its weights must be the same.

    Raises:
        InputError: the training's semantics were not words alone, or the encoder is another one.
    """
    record = origin.get("text_encoder")
    if not record or origin.get("attributes"):
        raise InputError(
            f"{where}: the model's classes were not described by words alone; give their semantics "
            "with --add-classes"
        )
    try:
        several = [class_texts(row, record["template"], where) for row in rows]
    except InputError as error:
        file = "" if Path(where).suffix else "; give a .csv with its columns to --add-classes"
        raise InputError(
            f"{error} (the training's template is {record['template']!r}){file}"
        ) from None
    encoder = text_encoder(_name(record, given, "--text-encoder"), torch.device("cpu"))
    _same(encoder, record, "--text-encoder")
    with torch.no_grad():
        found = [encoder.encode(list(texts)).float().cpu().numpy() for texts in several]
    owner = np.repeat(np.arange(len(several)), [len(texts) for texts in several])
    return class_embeddings(np.concatenate(found), owner).astype(np.float32)


def _name(record: dict[str, Any], given: str | None, option: str) -> str:
    """What to load. A file must not choose which code of this machine is run."""
    name = str(record["name"])
    if given is None and name.startswith("python:") and not name.startswith(OWN_CODE):
        raise InputError(
            f"the model names {name}, which is code; if it is yours, say so with {option} {name}"
        )
    return given or name


def _same(encoder: ImageEncoder | TextEncoder, record: dict[str, Any], option: str) -> None:
    if encoder.weights != record["weights_sha256"]:
        raise InputError(
            f"{option} {encoder.name}: its weights (SHA-256 {encoder.weights[:12]}) are not those "
            f"of the training ({str(record['weights_sha256'])[:12]}); give the same encoder as "
            f"{record['name']}"
        )
