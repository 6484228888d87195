"""Supervised contrastive loss (Khosla et al., NeurIPS 2020), CE-GZSL's instance-level loss."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from gzsl_dist.losses.similarities import anchor_block, at_least_float32, rows_with_positive

if TYPE_CHECKING:
    from torch import Tensor


def supcon_loss(
    embeddings: Tensor, labels: Tensor, *, temperature: float, anchors: slice | None = None
) -> Tensor:
    """Supervised contrastive loss over the global batch (their eq. 2, L_out).

    ::

        mean_i -1/|P(i)| sum_{k in P(i)} log( exp(s_ik / t) / sum_{j != i} exp(s_ij / t) )

    over the rows i that have a positive.

    Args:
        embeddings: ``(batch, d_u)`` unit vectors of the *global* batch.
        labels: ``(batch,)`` class of each row.
        temperature: t, above 0 (CE-GZSL: 0.1).
        anchors: the share of rows taken as i, as in `instance_loss`.

    Returns:
        Scalar >= 0; 0 where no row has a positive.
    """
    similarity, same, other = anchor_block(embeddings, labels, anchors)
    similarity = at_least_float32(similarity)
    logits = (similarity / temperature).masked_fill(~(same | other), -inf)
    positives = same.sum(dim=1)
    normalizer = logits.where((positives > 0)[:, None], 0).logsumexp(dim=1)
    attraction = logits.where(same, 0).sum(dim=1) / positives.clamp_min(1)
    terms = (normalizer - attraction).where(positives > 0, 0)
    return terms.sum() / rows_with_positive(labels)
