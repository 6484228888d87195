"""Class prototypes in the contrastive space, from three sources (reconstructed, see below).

The abstract of arXiv 2309.06987 speaks of prototypes but not of where they come from. The
sources here: parameters as in Proxy-Anchor (Kim et al., CVPR 2020), a small network of the class
semantics (so that unseen classes have prototypes too), and running means of the embeddings.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gzsl_dist.models.embedding import unit
from gzsl_dist.models.initialize import initialize

Batch = tuple[Tensor, Tensor] | None
"""Unit vectors ``(batch, d_u)`` and labels ``(batch,)`` of the global batch, if it may be used."""


class LearnedPrototypes(nn.Module):
    """One free vector a class, ``normalize(P_c)``; only for the classes trained with."""

    def __init__(self, classes: int, projection_dim: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(unit(torch.randn(classes, projection_dim)))

    def forward(self, semantics: Tensor, classes: slice, batch: Batch = None) -> Tensor:
        """Prototypes, ``(classes in the slice, d_u)``, unit vectors."""
        return unit(self.vectors[classes])


class SemanticPrototypes(nn.Module):
    """``normalize(MLP(a_c))``: exists for every class that has semantics, unseen ones included."""

    def __init__(self, semantic_dim: int, hidden_dim: int, projection_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(semantic_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, projection_dim)
        initialize(self)

    def forward(self, semantics: Tensor, classes: slice, batch: Batch = None) -> Tensor:
        """Prototypes, ``(classes in the slice, d_u)``, of ``(all classes, d_a)`` semantics."""
        hidden = leaky_relu(self.hidden(semantics[classes]), 0.2)
        return unit(self.output(hidden))


class EMAPrototypes(nn.Module):
    """Means of the embeddings of each class, remembered as exponential moving averages.

    For a class in the batch, the unit vector along the mean of its rows, with gradient; for other
    classes their average, ``m_c <- normalize(mu m_c + (1 - mu) mean)``, mu being the momentum in
    [0, 1). Averages start at zero, which is similar to nothing: a class's first batch is its
    average, and nothing random stays in it. They are buffers, computed from the global batch alike
    on every process.
    """

    def __init__(self, classes: int, projection_dim: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.means: Tensor
        self.register_buffer("means", torch.zeros(classes, projection_dim))

    def forward(self, semantics: Tensor, classes: slice, batch: Batch = None) -> Tensor:
        """Prototypes, ``(classes in the slice, d_u)``; `batch` moves the averages on.

        Unit vectors; zero for a class that no batch has held yet.
        """
        if batch is None:
            return self.means[classes].clone()
        embeddings, labels = batch
        sums = torch.zeros_like(self.means).index_add(0, labels, embeddings)
        counts = torch.zeros_like(self.means[:, :1]).index_add(
            0, labels, torch.ones_like(embeddings[:, :1])
        )
        current = torch.where(counts > 0, unit(sums / counts.clamp_min(1)), self.means)
        mixed = self.momentum * self.means + (1 - self.momentum) * current.detach()
        prototypes = current[classes]
        self.means.copy_(torch.where(counts > 0, unit(mixed), self.means))
        return prototypes
