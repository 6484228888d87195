"""What an encoder is, whatever package it comes from."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from gzsl_dist.data.dataset import FloatArray, IntArray
from gzsl_dist.errors import InputError
from gzsl_dist.extraction.packages import versions

Transform = Callable[[Image.Image], Tensor]
TextFunction = Callable[[list[str]], Tensor]


@dataclass(frozen=True)
class ImageEncoder:
    """Turns images into features.

    Attributes:
        name: ``KIND:NAME`` as the user wrote it.
        encode: ``(batch, channels, height, width)`` to ``(batch, d_x)``.
        transform: an RGB image to ``(channels, height, width)``.
        preprocessing: what the transform does, as JSON can hold it.
        weights: SHA-256 (hex) of the weights.
        packages: versions.
        device: where `encode` takes its input.
    """

    name: str
    encode: Callable[[Tensor], Tensor]
    transform: Transform
    preprocessing: Any
    weights: str
    packages: dict[str, str]
    device: torch.device = field(default=torch.device("cpu"))

    def record(self) -> dict[str, Any]:
        """What a prepared file records of it."""
        return {
            "name": self.name, "weights_sha256": self.weights,
            "preprocessing": self.preprocessing, "versions": self.packages,
        }  # fmt: skip


@dataclass(frozen=True)
class TextEncoder:
    """Turns texts into vectors of length 1.

    Attributes:
        name: ``KIND:NAME`` as the user wrote it.
        encode: texts to ``(texts, d)``; lengths do not matter.
        weights: SHA-256 (hex) of the weights.
        packages: versions.
    """

    name: str
    encode: TextFunction
    weights: str
    packages: dict[str, str]

    def record(self) -> dict[str, Any]:
        """What a prepared file records of it."""
        return {"name": self.name, "weights_sha256": self.weights, "versions": self.packages}


def class_embeddings(vectors: FloatArray, owner: IntArray) -> NDArray[np.float64]:
    """Means of the unit vectors of each class's texts, of length 1, ``(classes, d)``.

    Args:
        vectors: of the text encoder, ``(texts, d)``.
        owner: ``(texts,)``, the class of each text; every class from 0 has one.
    """
    rows = unit(np.asarray(vectors, dtype=np.float64))
    total = np.zeros((int(owner.max()) + 1, rows.shape[1]))
    np.add.at(total, owner, rows)
    return unit(total)


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1; one of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: NDArray[np.float64] = rows / np.where(lengths > 0, lengths, 1)
    return found


def function_named(text: str, option: str) -> Callable[..., Any]:
    """The function that ``python:package.module:function`` names.

    Raises:
        InputError: there is none.
    """
    module, _, function = text.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"{option} python:{text}: cannot be imported ({error}); give "
            "python:package.module:function, and set PYTHONPATH where it is your own"
        ) from None
    if not callable(found):
        raise InputError(f"{option} python:{text}: is no function; give one")
    return found  # type: ignore[no-any-return]


def loaded(option: str, load: Callable[[], Any]) -> Any:
    """What another package's loader gives; whatever it raises becomes one line.

    Raises:
        InputError: it could not load.
    """
    try:
        return load()
    except InputError:
        raise
    except Exception as error:  # each package has its own
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(
            f"{option}: cannot be loaded ({reason}); check the name, and where weights cannot be "
            "downloaded give a folder or file of them: docs/images.md, encoders"
        ) from None


def file_sha256(path: Path, option: str) -> str:
    """SHA-256 (hex) of a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except OSError as error:
        raise InputError(f"{option}: {path} cannot be read ({error.strerror}); check it") from None


def ready(module: nn.Module, device: torch.device) -> nn.Module:
    """A network that only computes."""
    return module.to(device).eval().requires_grad_(False)


def torch_and(*packages: str) -> dict[str, str]:
    """Versions of torch, Pillow and these."""
    return versions("torch", "pillow", *packages)
