"""The preprocessing of encoders that bring none: resize, crop, scale by ImageNet's statistics."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """Bicubic resizing, then mean and deviation of ImageNet.

    Attributes:
        size: side of the square, pixels.
        crop: take the middle of the image, after its shorter side became ``size / 0.875``; else
            the whole image is stretched to the square.
        mean: of each channel, which runs from 0 to 1.
        deviation: the same.
    """

    size: int = 224
    crop: bool = True
    mean: tuple[float, ...] = MEAN
    deviation: tuple[float, ...] = DEVIATION

    def __call__(self, image: Image.Image) -> Tensor:
        """``(3, size, size)`` of an RGB image."""
        if self.crop:
            shorter = round(self.size / 0.875)
            scale = shorter / min(image.size)
            wide, high = (max(self.size, round(side * scale)) for side in image.size)
            image = image.resize((wide, high), Image.Resampling.BICUBIC)
            left, top = (wide - self.size) // 2, (high - self.size) // 2
            image = image.crop((left, top, left + self.size, top + self.size))
        else:
            image = image.resize((self.size, self.size), Image.Resampling.BICUBIC)
        values = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        mean, deviation = torch.tensor(self.mean), torch.tensor(self.deviation)
        return (values - mean[:, None, None]) / deviation[:, None, None]

    def record(self) -> dict[str, Any]:
        """What a prepared file records of it."""
        return asdict(self) | {"resize": "bicubic (Pillow)"}
