"""Comparator F of CE-GZSL: how well does a row match the semantics of each class?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gzsl_dist.models.initialize import initialize

SLOPE = 0.2
CHUNK_VALUES = 1 << 24  # values of the (rows, classes, hidden) block that exist at a time


class Comparator(nn.Module):
    """F: [h; a] -> hidden, LeakyReLU 0.2 -> 1 (Han et al., CVPR 2021), for all classes at once.

    The first layer splits exactly into ``W_h h + W_a a_c``: both are computed once, and only their
    sums are formed for each pair of a row and a class.

    Args:
        embedding_dim: size of h.
        semantic_dim: d_a.
        hidden_dim: width of the hidden layer (CE-GZSL: 2048).
    """

    def __init__(self, embedding_dim: int, semantic_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden_embedding = nn.Linear(embedding_dim, hidden_dim)
        self.hidden_semantic = nn.Linear(semantic_dim, hidden_dim, bias=False)
        # Without a bias: the softmax over classes takes any constant out.
        self.output = nn.Linear(hidden_dim, 1, bias=False)
        initialize(self)

    def forward(self, embeddings: Tensor, semantics: Tensor) -> Tensor:
        """Scores, ``(rows, classes)``, of ``(rows, embedding_dim)`` and ``(classes, d_a)``."""
        rows = self.hidden_embedding(embeddings)
        classes = self.hidden_semantic(semantics)
        weight = self.output.weight[0]
        step = max(1, CHUNK_VALUES // classes.numel())
        if len(rows) <= step:
            return pair_scores(rows, classes, weight)
        # Chunks of rows, recomputed in the backward pass, bound the memory of the pairs.
        parts = [
            checkpoint(pair_scores, part, classes, weight, use_reentrant=False)
            for part in rows.split(step)
        ]
        return torch.cat(parts)


def pair_scores(rows: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
    """``(rows, classes)`` of ``w . LeakyReLU(r_i + c_j)``, all of width ``hidden``.

    As ``LeakyReLU(t) = (1 + slope)/2 t + (1 - slope)/2 |t|``, the linear half needs no pairs.
    """
    linear = (rows @ weight)[:, None] + classes @ weight
    bent = (rows[:, None] + classes).abs() @ weight
    return (1 + SLOPE) / 2 * linear + (1 - SLOPE) / 2 * bent
