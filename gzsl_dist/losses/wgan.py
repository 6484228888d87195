"""Wasserstein GAN with gradient penalty (Gulrajani et al., NeurIPS 2017; arXiv 1704.00028)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gzsl_dist.losses.similarities import at_least_float32

if TYPE_CHECKING:
    from torch import Tensor


def wasserstein_loss(real_scores: Tensor, fake_scores: Tensor, total: int) -> Tensor:
    """Critic loss without the penalty: E[D(x~, a)] - E[D(x, a)].

    Args:
        real_scores: ``(rows,)`` critic scores of real rows.
        fake_scores: ``(rows,)`` critic scores of synthetic rows.
        total: rows of the global batch. With fewer rows than that, the result is this share's
            part; the parts of all shares add up to the loss.

    Returns:
        Scalar; its negative estimates the Wasserstein distance.
    """
    return (at_least_float32(fake_scores).sum() - at_least_float32(real_scores).sum()) / total


def generator_loss(fake_scores: Tensor, total: int) -> Tensor:
    """Generator loss: -E[D(x~, a)], as the part of ``(rows,)`` scores in `total` rows."""
    return -at_least_float32(fake_scores).sum() / total


def gradient_penalty(gradient: Tensor, total: int) -> Tensor:
    """Gradient penalty: E[(||grad D(x^, a)||_2 - 1)^2].

    Args:
        gradient: ``(rows, d_x)`` gradient of the critic at the interpolated rows
            (`gzsl_dist.models.critic.Critic.input_gradient`).
        total: rows of the global batch, as in `wasserstein_loss`.

    Returns:
        Scalar >= 0. A zero gradient gives 1 and a zero (not NaN) derivative.
    """
    import torch

    norm = torch.linalg.vector_norm(at_least_float32(gradient), dim=1)
    penalty: Tensor = (norm - 1).square().sum() / total
    return penalty
