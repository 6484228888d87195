"""The two losses of a step in plain single-process code, from the design's equations.

Calls networks and losses with whole batches; no objectives, strategies, chunks or collectives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gzsl_dist.config import Config, SideWeights
from gzsl_dist.data.batches import Batch
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
        batch.compared,
        moving=True,
    )


def generator_loss(networks: Networks, semantics: Tensor, config: Config, batch: Batch) -> Tensor:
    a = semantics[batch.labels]
    fake = networks.generator(batch.noise, a)
    loss = -networks.critic(fake, a).mean()
    if networks.embedding is None or not config.loss.generator.active():
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
        batch.compared,
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
    compared: Tensor | None,
    *,
    moving: bool,
) -> Tensor:
    loss = hidden.new_zeros(())
    whole, all_classes = len(own[1]), slice(0, len(semantics))
    if weights.active("prototypes"):
        prototypes = networks.prototypes(semantics, all_classes, own if moving else None)
    for name in weights.active():
        formula = config.loss.of(name)
        if formula.compares == "classes":
            scores = networks.comparator(hidden, semantics)
            if compared is not None:
                others = [c for c in range(len(semantics)) if c not in compared.tolist()]
                for row, label in enumerate(own[1].tolist()):
                    scores[row, [c for c in others if c != label]] = -torch.inf
            term = formula(scores, own[1], total=whole)
        elif formula.compares == "rows":
            term = formula(*instances, anchors=slice(0, len(instances[1])))
        elif formula.by_class:
            count = len(semantics)
            term = formula(*own, prototypes, classes=all_classes, class_count=count)
        else:
            term = formula(*own, prototypes, total=whole)
        loss = loss + getattr(weights, name) * term
    return loss
