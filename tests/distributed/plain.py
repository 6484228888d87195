"""The two losses of a step in plain single-process code, from the design's equations.

Imports networks and losses, but neither objectives nor strategies nor collectives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gzsl_dist.config import Config, SideWeights
from gzsl_dist.data.batches import Batch
from gzsl_dist.losses.instance import instance_loss
from gzsl_dist.losses.margin_softmax import margin_softmax_loss
from gzsl_dist.losses.prototype import prototype_loss
from gzsl_dist.losses.robust import robust_loss
from gzsl_dist.losses.supcon import supcon_loss
from gzsl_dist.models.networks import Networks


def critic_loss(networks: Networks, semantics: Tensor, config: Config, batch: Batch) -> Tensor:
    a = semantics[batch.labels]
    with torch.no_grad():
        fake = networks.generator(batch.noise, a)
    wasserstein = networks.critic(fake, a).mean() - networks.critic(batch.features, a).mean()
    mixed = (batch.mix * batch.features + (1 - batch.mix) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(networks.critic(mixed, a).sum(), mixed, create_graph=True)
    penalty = ((gradient.norm(dim=1) - 1) ** 2).mean()
    loss = wasserstein + config.loss.gradient_penalty * penalty
    if networks.embedding is None:
        return loss
    hidden, projected = networks.embedding(batch.features)
    return loss + embedding_part(
        networks,
        semantics,
        config,
        config.loss.critic,
        hidden,
        (projected, batch.labels),
        (projected, batch.labels),
        moving=True,
    )


def generator_loss(networks: Networks, semantics: Tensor, config: Config, batch: Batch) -> Tensor:
    a = semantics[batch.labels]
    fake = networks.generator(batch.noise, a)
    loss = -networks.critic(fake, a).mean()
    if networks.embedding is None or not config.loss.generator.any:
        return loss
    hidden, projected = networks.embedding(fake)
    real = networks.embedding(batch.features)[1].detach()
    return loss + embedding_part(
        networks,
        semantics,
        config,
        config.loss.generator,
        hidden,
        (projected, batch.labels),
        (torch.cat([projected, real]), batch.labels.repeat(2)),
        moving=False,
    )


def embedding_part(
    networks: Networks,
    semantics: Tensor,
    config: Config,
    weights: SideWeights,
    hidden: Tensor,
    own: tuple[Tensor, Tensor],
    instances: tuple[Tensor, Tensor],
    *,
    moving: bool,
) -> Tensor:
    loss = hidden.new_zeros(())
    proto, inst = config.loss.prototype, config.loss.instance
    if weights.prototype:
        prototypes = networks.prototypes(
            semantics, slice(0, len(semantics)), own if moving else None
        )
        if proto.form == "softmax":
            term = margin_softmax_loss(
                *own, prototypes, margin=proto.margin, scale=proto.scale, total=len(own[1])
            )
        else:
            term = prototype_loss(
                *own, prototypes, margin=proto.margin, scale=proto.scale, adaptive=proto.adaptive
            )
        loss = loss + weights.prototype * term
    if weights.instance and inst.form == "supcon":
        loss = loss + weights.instance * supcon_loss(*instances, temperature=inst.temperature)
    elif weights.instance and inst.form == "robust":
        loss = loss + weights.instance * robust_loss(
            *instances, margin=inst.margin, radius=inst.radius
        )
    elif weights.instance:
        loss = loss + weights.instance * instance_loss(
            *instances, margin=inst.margin, scale=inst.scale, adaptive=inst.form == "adaptive"
        )
    if weights.comparator:
        scores = networks.comparator(hidden, semantics) / config.loss.comparator_temperature
        loss = loss + weights.comparator * torch.nn.functional.cross_entropy(scores, own[1])
    return loss
