"""Small encoders for ``python:``, and a small problem of images and words."""

from __future__ import annotations

import json
import time
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from gzsl_dist.extraction.packages import import_package
from gzsl_dist.extraction.preprocessing import Preprocessing

HERE = "python:tests.unit.extraction.small"
CLASSES = ("cat", "dog", "emu", "fox", "gnu", "okapi", "yak")
UNSEEN = ("okapi", "yak")
PER_CLASS = 5


class Pixels(nn.Module):
    """Colours in four places, mixed by fixed random weights."""

    def __init__(self, seed: int = 0, width: int = 6) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(width, 12, generator=drawn))

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1) @ self.weight.T


class Words(nn.Module):
    """A random vector a word, summed up."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(997, 8, generator=torch.Generator().manual_seed(1)))

    def encode(self, texts: list[str]) -> Tensor:
        rows = [[zlib.crc32(word.encode()) % 997 for word in text.split()] for text in texts]
        return torch.stack([self.table[row].sum(0) for row in rows])


def pixels() -> tuple[nn.Module, Preprocessing]:
    return Pixels(), Preprocessing(16)


def other_pixels() -> tuple[nn.Module, Preprocessing]:
    return Pixels(seed=9), Preprocessing(16)


def larger_pixels() -> tuple[nn.Module, Preprocessing]:
    return Pixels(), Preprocessing(20)


class _Slow(Pixels):
    def forward(self, images: Tensor) -> Tensor:
        time.sleep(0.3)
        return super().forward(images)


def slow() -> tuple[nn.Module, Preprocessing]:
    return _Slow(), Preprocessing(16)


def words() -> nn.Module:
    return Words()


class _Wrong(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.calls = kind, 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        values = images.mean((2, 3))
        if self.kind == "nan":
            return values.log()  # of negative numbers
        if self.kind == "width":
            return torch.cat([values] * self.calls, dim=1)
        return images


def nan() -> tuple[nn.Module, Preprocessing]:
    return _Wrong("nan"), Preprocessing(16)


def width() -> tuple[nn.Module, Preprocessing]:
    return _Wrong("width"), Preprocessing(16)


def maps() -> tuple[nn.Module, Preprocessing]:
    return _Wrong("maps"), Preprocessing(16)


def write_problem(folder: Path, *, imageless: bool = False) -> list[str]:
    """Images by class and a class file; returns the arguments of ``extract`` but ``--out``.

    Args:
        folder: where they go.
        imageless: unseen classes have no images.
    """
    rng = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        if imageless and name in UNSEEN:
            continue
        (folder / "images" / name).mkdir(parents=True)
        for place in range(PER_CLASS):
            values = rng.integers(0, 60, (20, 30, 3)) + 25 * number
            image = Image.fromarray(values.astype(np.uint8))
            image.save(folder / "images" / name / f"{place}.png")
    lines = [f'{name},"An animal called {name}, number {n}."' for n, name in enumerate(CLASSES)]
    (folder / "classes.csv").write_text("\n".join(["name,description", *lines]) + "\n")
    (folder / "unseen.txt").write_text("\n".join(UNSEEN) + "\n")
    return [
        str(folder / "images"), "--classes", str(folder / "classes.csv"),
        "--unseen", str(folder / "unseen.txt"),
        "--image-encoder", f"{HERE}:pixels", "--text-encoder", f"{HERE}:words",
        "--batch-size", "4", "--workers", "0",
    ]  # fmt: skip


def halved(image: Image.Image) -> Tensor:
    """A preprocessing that is a plain function."""
    pixels = np.asarray(image.resize((2, 2)), dtype=np.float32) / 2
    return torch.from_numpy(pixels).permute(2, 0, 1)


def with_function() -> tuple[nn.Module, object]:
    """An encoder whose preprocessing is a plain function."""
    return Pixels(), halved


def tiny_clip(folder: Path) -> str:
    """An encoder of images and texts with small random weights in a file."""
    open_clip = import_package("open_clip", "test")
    image = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    words = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    config = {"embed_dim": 16, "vision_cfg": image, "text_cfg": words}
    (folder / "tiny-clip.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny-clip.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("tiny-clip").state_dict(), folder / "w.pt")
    return f"open_clip:tiny-clip/{folder / 'w.pt'}"
