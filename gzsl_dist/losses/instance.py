"""Instance adaptive contrastive loss (arXiv 2309.06987; form reconstructed).

The abstract complains of "inflexible optimization due to restricted scaling", to which Circle
loss (Sun et al., CVPR 2020) answers with a weight for every single similarity. The pair-wise form
of that loss over the global batch is our reconstruction.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from gzsl_dist.losses.weights import pair_logits


def instance_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float,
    scale: float,
    adaptive: bool = True,
    anchors: slice | None = None,
) -> Tensor:
    """Compare each row with every other row of the batch, each pair at its own pace.

    With ``s_ij = <u_i, u_j>``, P(i) the other rows of i's class and N(i) those of other classes::

        mean_i log(1 + sum_{j in N(i)} exp( g w-_ij (s_ij - D-))
                     * sum_{k in P(i)} exp(-g w+_ik (s_ik - D+)))

    over the rows i that have a positive. Weights and thresholds as in `prototype_loss`.

    Args:
        embeddings: ``(batch, d_u)`` unit vectors of the *global* batch.
        labels: ``(batch,)`` class of each row.
        margin: m, in [0, 1].
        scale: g, above 0.
        adaptive: adaptive (Circle loss) or fixed weights.
        anchors: the share of rows taken as i, default all. The losses of shares that partition
            the rows add up to the loss; a process holds ``batch^2 / processes`` similarities.

    Returns:
        Scalar >= 0; 0 where no row has a positive, or none a negative.
    """
    similarity, same, other = anchor_block(embeddings, labels, anchors)
    attract, repel = pair_logits(similarity, margin=margin, scale=scale, adaptive=adaptive)
    usable = (same.any(dim=1) & other.any(dim=1))[:, None]
    # A row without positives or negatives has an empty sum, whose logarithm has no gradient:
    # its logits become 0 and its term is dropped.
    attract = torch.where(usable, attract.masked_fill(~same, -torch.inf), 0)
    repel = torch.where(usable, repel.masked_fill(~other, -torch.inf), 0)
    exponent = torch.logsumexp(attract, dim=1) + torch.logsumexp(repel, dim=1)
    terms = torch.where(usable[:, 0], -logsigmoid(-exponent), 0)
    return terms.sum() / rows_with_positive(labels)


def anchor_block(
    embeddings: Tensor, labels: Tensor, anchors: slice | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Similarities of the anchor rows with all rows, and masks of positives and negatives.

    Returns:
        ``(anchors, batch)`` each: similarity, same class and not the row itself, other class.
    """
    rows = slice(0, len(labels)) if anchors is None else anchors
    similarity = embeddings[rows] @ embeddings.T
    same = labels[rows, None] == labels[None, :]
    other = ~same
    index = torch.arange(len(labels), device=labels.device)
    itself = index[rows, None] == index[None, :]
    return similarity, same & ~itself, other


def rows_with_positive(labels: Tensor) -> Tensor:
    """Number of rows of the global batch whose class occurs again, at least 1 (a divisor)."""
    ordered = labels.sort().values
    again = ordered[1:] == ordered[:-1]  # as the row before, in the order of labels
    repeated = pad(again, (1, 0)) | pad(again, (0, 1))
    return repeated.sum().clamp_min(1)
