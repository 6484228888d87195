"""What the softmax classifier sees of a row: features, embeddings, or both."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from gzsl_dist.config import EvaluationSettings
from gzsl_dist.data.features import BLOCK_ROWS
from gzsl_dist.models.embedding import Embedding
from gzsl_dist.models.networks import Networks
from gzsl_dist.models.precision import at_least_float32


@dataclass(frozen=True)
class ClassifierSpace:
    """The classifier's input.

    Attributes:
        name: ``h`` (embedding, CE-GZSL), ``u`` (projection), ``x`` (features) or ``xh``, both
            side by side (as in TF-VAEGAN, Narayan et al., ECCV 2020).
        unit_length: whether each part of a row is scaled to Euclidean length 1.
    """

    name: str
    unit_length: bool

    @classmethod
    def configured(cls, settings: EvaluationSettings) -> ClassifierSpace:
        """The space that the settings ask for."""
        # the parts of a row then have one length each, and so has the row
        unit_length = settings.unit_length or settings.classifier == "cosine"
        return cls(settings.space or "x", unit_length)

    def width(self, feature_dim: int, embedding_dim: int, projection_dim: int) -> int:
        """Values of a row, from d_x, the size of h and d_u."""
        sizes = {"x": feature_dim, "h": embedding_dim, "u": projection_dim}
        return sum(sizes[part] for part in self.name)

    def row_bytes(self, networks: Networks) -> int:
        """Bytes of a row of the classifier's input, in the networks' type or float32."""
        weight, embedding = networks.generator.output.weight, networks.embedding
        hidden = embedding.embed.out_features if embedding else 0
        projected = embedding.project.out_features if embedding else 0
        return self.width(len(weight), hidden, projected) * max(4, weight.element_size())

    def inputs(self, features: Tensor, embedding: Embedding | None) -> Tensor:
        """The classifier's input ``(rows, width)`` of scaled features ``(rows, d_x)``."""
        parts = {"x": features}
        if self.name != "x" and embedding is not None:
            parts["h"], parts["u"] = embedding(features)
        return torch.cat([self._finished(parts[name]) for name in self.name], dim=1)

    def of_embedded(self, hidden: Tensor) -> Tensor:
        """The same where h ``(rows, embedding_dim)`` is at hand and the space is ``h``."""
        return self._finished(hidden)

    def _finished(self, part: Tensor) -> Tensor:
        part = at_least_float32(part)
        return normalize(part, dim=1) if self.unit_length else part


@torch.no_grad()
def classifier_input(networks: Networks, features: Tensor, space: ClassifierSpace) -> Tensor:
    """Scaled features ``(rows, d_x)`` in the classifier's space, ``(rows, width)``."""
    features = features.to(networks.generator.output.weight)
    return torch.cat(
        [space.inputs(part, networks.embedding) for part in features.split(BLOCK_ROWS)]
    )
