"""Comparator F of CE-GZSL: how well does a row match the semantics of each class?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gzsl_dist.models.initialize import WEIGHT_DEVIATION, initialize
from gzsl_dist.precision import at_least_float32

SLOPE = 0.2


class Comparator(nn.Module):
    """F: [h; a] -> hidden, LeakyReLU 0.2 -> 1 (Han et al., CVPR 2021), for all classes at once.

    The first layer splits exactly into ``W_h h + W_a a_c``: both are computed once, and the pairs
    of a row and a class never meet in a matrix product, nor as a block of ``rows x classes x
    hidden`` values (`pair_scores`).

    Args:
        embedding_dim: size of h.
        semantic_dim: d_a.
        hidden_dim: width of the hidden layer (CE-GZSL: 2048).
    """

    def __init__(self, embedding_dim: int, semantic_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden_embedding = nn.Linear(embedding_dim, hidden_dim)
        self.hidden_semantic = nn.Linear(semantic_dim, hidden_dim, bias=False)
        # The second layer is a vector of this module's own, so that ZeRO 3 gathers it;
        # it has no bias, as the softmax over classes takes any constant out.
        self.output = nn.Parameter(nn.Linear(hidden_dim, 1, bias=False).weight.detach()[0])
        initialize(self)
        nn.init.normal_(self.output, 0.0, WEIGHT_DEVIATION)

    def forward(self, embeddings: Tensor, semantics: Tensor) -> Tensor:
        """Scores, ``(rows, classes)``, of ``(rows, embedding_dim)`` and ``(classes, d_a)``."""
        rows = at_least_float32(self.hidden_embedding(embeddings))
        classes = at_least_float32(self.hidden_semantic(semantics))
        with torch.autocast(rows.device.type, enabled=False):
            return pair_scores(rows, classes, self.output)


def pair_scores(rows: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
    """``(rows, classes)`` of ``w . LeakyReLU(r_i + c_j)``, all of width ``hidden``.

    As ``LeakyReLU(t) = (1 + slope)/2 t + (1 - slope)/2 |t|``, one half is linear and needs no
    pairs. The other, ``sum_k w_k |r_ik + c_jk|``, is an L1 distance between rows and negated
    classes, each scaled by ``|w_k|``; one for the positive weights, one for the negative.
    """
    linear = (rows @ weight)[:, None] + classes @ weight
    bent = torch.zeros_like(linear)
    for sign in (1, -1):
        part = sign * weight > 0
        scale = sign * weight[part]
        bent = bent + sign * torch.cdist(rows[:, part] * scale, -classes[:, part] * scale, p=1)
    return (1 + SLOPE) / 2 * linear + (1 - SLOPE) / 2 * bent
