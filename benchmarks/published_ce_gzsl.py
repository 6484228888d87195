"""CE-GZSL's two losses as its paper publishes them (Han et al., CVPR 2021), in plain torch.

The yardstick of `benchmarks/step.py`, written from the paper: networks on concatenated inputs, the
gradient penalty differentiated twice, and every pair of a row and a class through the comparator
as one row ``[h; a_c]``. Weights are copied from the package's networks, so that losses and
gradients can be compared (`tests/unit/training/test_published_form.py`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize


class PublishedForm(nn.Module):
    """Generator, critic, embedding and comparator as plain multi-layer perceptrons.

    Args:
        networks: `gzsl_dist.models.networks.Networks` whose weights are copied; without embedding
            (method wgan), only generator and critic.
        config: weights and temperatures of the losses.
        semantics: ``(classes, d_a)``.
    """

    def __init__(self, networks: Any, config: Any, semantics: Tensor) -> None:
        super().__init__()
        self.loss, self.semantics = config.loss, semantics
        generator, critic = networks.generator, networks.critic
        self.generator = nn.Sequential(
            linear(generator.hidden.weight, generator.hidden.bias),
            nn.LeakyReLU(0.2),
            linear(generator.output.weight, generator.output.bias),
            nn.ReLU(),
        )
        self.critic = nn.Sequential(
            linear(
                torch.cat([critic.hidden_feature.weight, critic.hidden_semantic.weight], dim=1),
                critic.hidden_feature.bias,
            ),
            nn.LeakyReLU(0.2),
            linear(critic.output.weight, critic.output.bias),
        )
        self.embed: Any = None
        self.project: Any = None
        self.comparator: Any = None
        if networks.embedding is not None:
            embed, project = networks.embedding.embed, networks.embedding.project
            self.embed = nn.Sequential(linear(embed.weight, embed.bias), nn.ReLU())
            self.project = linear(project.weight, project.bias)
            first = networks.comparator
            weights = [first.hidden_embedding.weight, first.hidden_semantic.weight]
            self.comparator = nn.Sequential(
                linear(torch.cat(weights, dim=1), first.hidden_embedding.bias),
                nn.LeakyReLU(0.2),
                linear(first.output[None], None),
            )

    def side(self, name: str) -> list[nn.Parameter]:
        """Parameters of the critic's or the generator's optimizer."""
        own = list(self.generator.parameters())
        if name == "generator":
            return own
        return [value for value in self.parameters() if all(value is not other for other in own)]

    def synthesize(self, batch: Any) -> Tensor:
        fake: Tensor = self.generator(torch.cat([batch.noise, self.semantics[batch.labels]], dim=1))
        return fake

    def score(self, features: Tensor, labels: Tensor) -> Tensor:
        scores: Tensor = self.critic(torch.cat([features, self.semantics[labels]], dim=1))
        return scores[:, 0]

    def critic_loss(self, batch: Any) -> Tensor:
        with torch.no_grad():
            fake = self.synthesize(batch)
        real_scores = self.score(batch.features, batch.labels)
        loss: Tensor = self.score(fake, batch.labels).mean() - real_scores.mean()
        mixed = (batch.mix * batch.features + (1 - batch.mix) * fake).requires_grad_(True)
        (gradient,) = torch.autograd.grad(
            self.score(mixed, batch.labels).sum(), mixed, create_graph=True
        )
        penalty = ((gradient.norm(dim=1) - 1) ** 2).mean()
        loss = loss + self.loss.gradient_penalty * penalty
        if self.embed is None:
            return loss
        hidden = self.embed(batch.features)
        projected = normalize(self.project(hidden), dim=1)
        return loss + self.contrast(self.loss.critic, batch.labels, hidden, projected, batch.labels)

    def generator_loss(self, batch: Any) -> Tensor:
        fake = self.synthesize(batch)
        loss = -self.score(fake, batch.labels).mean()
        if self.embed is None:
            return loss
        hidden = self.embed(fake)
        projected = normalize(self.project(hidden), dim=1)
        with torch.no_grad():
            real = normalize(self.project(self.embed(batch.features)), dim=1)
        both, labels = torch.cat([projected, real]), batch.labels.repeat(2)
        return loss + self.contrast(self.loss.generator, batch.labels, hidden, both, labels)

    def contrast(
        self, weights: Any, labels: Tensor, hidden: Tensor, projected: Tensor, instances: Tensor
    ) -> Tensor:
        """Class-level loss over ``(rows, classes)`` pairs, instance-level loss over all rows."""
        rows, classes = len(hidden), len(self.semantics)
        pairs = torch.cat(
            [
                hidden[:, None].expand(rows, classes, -1),
                self.semantics.expand(rows, classes, -1),
            ],
            dim=2,
        )
        scores = self.comparator(pairs.flatten(0, 1)).view(rows, classes)
        relevance = cross_entropy(scores / self.loss.comparator_temperature, labels)
        similar = supervised_contrast(projected, instances, self.loss.instance.temperature)
        contrast: Tensor = weights.comparator * relevance + weights.instance * similar
        return contrast


def supervised_contrast(projected: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Mean over rows with a positive of ``-1/|P| sum_P log softmax`` over all other rows."""
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    logits = (projected @ projected.T / temperature).masked_fill(itself, -torch.inf)
    same = (labels[:, None] == labels) & ~itself
    log_shares = logits.log_softmax(dim=1).masked_fill(~same, 0)
    positives = same.sum(dim=1)
    terms = -log_shares.sum(dim=1) / positives.clamp_min(1)
    return terms.sum() / (positives > 0).sum().clamp_min(1)


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A layer with a copy of these weights."""
    layer = nn.Linear(
        weight.shape[1], weight.shape[0], bias is not None, weight.device, weight.dtype
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer
