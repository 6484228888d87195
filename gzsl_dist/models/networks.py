"""All networks of a run, built from its configuration."""

from __future__ import annotations

import torch
from torch import nn

from gzsl_dist.config import Config
from gzsl_dist.models.anchor import Anchor
from gzsl_dist.models.comparator import Comparator
from gzsl_dist.models.critic import Critic
from gzsl_dist.models.embedding import Embedding
from gzsl_dist.models.generator import Generator
from gzsl_dist.models.precision import network_dtype
from gzsl_dist.models.prototypes import EMAPrototypes, LearnedPrototypes, SemanticPrototypes

Prototypes = LearnedPrototypes | SemanticPrototypes | EMAPrototypes


class Networks(nn.Module):
    """Generator and critic, and what the method's losses need beside them (else None)."""

    def __init__(
        self,
        generator: Generator,
        critic: Critic,
        embedding: Embedding | None = None,
        prototypes: Prototypes | None = None,
        comparator: Comparator | None = None,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.critic = critic
        self.embedding = embedding
        self.prototypes = prototypes
        self.comparator = comparator


def build_networks(
    config: Config, *, feature_dim: int, semantic_dim: int, seen_count: int
) -> Networks:
    """Build and initialize all networks on the CPU, by the seed, so alike on every process.

    Args:
        config: sizes, the method's losses and the seed.
        feature_dim: d_x.
        semantic_dim: d_a.
        seen_count: number of classes trained with.
    """
    sizes, loss = config.model, config.loss
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        anchor = None
        if sizes.anchor != "none":
            anchor = Anchor(sizes.anchor, seen_count, semantic_dim, feature_dim)
        generator = Generator(
            sizes.noise_dim, semantic_dim, sizes.generator_hidden, feature_dim, anchor
        )
        critic = Critic(feature_dim, semantic_dim, sizes.critic_hidden)
        embedding = comparator = None
        prototypes: Prototypes | None = None
        if loss.critic.active():
            embedding = Embedding(feature_dim, sizes.embedding_dim, sizes.projection_dim)
            # Without a loss in the contrastive space, its layer would wait for a gradient.
            embedding.project.requires_grad_(bool(loss.critic.active("prototypes", "rows")))
        if loss.critic.active("prototypes"):
            width, source = sizes.projection_dim, loss.prototype.source
            if source == "learned":
                prototypes = LearnedPrototypes(seen_count, width)
            elif source == "semantic":
                prototypes = SemanticPrototypes(semantic_dim, sizes.prototype_hidden, width)
            else:
                prototypes = EMAPrototypes(seen_count, width, loss.prototype.momentum)
        if loss.critic.active("classes"):
            comparator = Comparator(sizes.embedding_dim, semantic_dim, sizes.comparator_hidden)
        networks = Networks(generator, critic, embedding, prototypes, comparator)
    return networks.to(network_dtype(config.train.precision))
