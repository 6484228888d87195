"""Embedding network: the classifier's space h and the contrastive space u (CE-GZSL)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from gzsl_dist.models.initialize import initialize
from gzsl_dist.models.precision import at_least_float32


class Embedding(nn.Module):
    """E: ``h = ReLU(W1 x)``, ``u = normalize(W2 h)``.

    h, the classifier's space, has `embedding_dim` values (CE-GZSL: 2048), u, the contrastive space,
    `projection_dim` = d_u (CE-GZSL: 512).
    """

    def __init__(self, feature_dim: int, embedding_dim: int, projection_dim: int) -> None:
        super().__init__()
        self.embed = nn.Linear(feature_dim, embedding_dim)
        self.project = nn.Linear(embedding_dim, projection_dim)
        initialize(self)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Embed ``(rows, d_x)`` features.

        Returns:
            h, ``(rows, embedding_dim)`` >= 0, and u, ``(rows, d_u)`` of unit length in float32.
        """
        hidden = relu(self.embed(features))
        return hidden, unit(self.project(hidden))


def unit(vectors: Tensor) -> Tensor:
    """Scale ``(rows, d)`` vectors to length 1, in float32 at least."""
    return normalize(at_least_float32(vectors), dim=1)
