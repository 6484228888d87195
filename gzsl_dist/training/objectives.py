"""The two objectives: each returns the whole loss of one optimizer step in one forward.

Each process returns its part; the parts of all processes add up to the loss (see
`gzsl_dist.distributed.strategies` for how the gradients do).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gzsl_dist.config import Config
from gzsl_dist.data.batches import Batch
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.losses.wgan import generator_loss, gradient_penalty, wasserstein_loss
from gzsl_dist.models.networks import Networks
from gzsl_dist.precision import network_precision
from gzsl_dist.training.embedding_losses import Losses, embedding_losses


class CriticObjective(nn.Module):
    """Critic, embedding network, prototypes and comparator on real rows.

    ``L_D + l_p L_proto(real) + l_i L_inst(real) + l_c L_comp(real)``: one optimizer over all.

    Args:
        networks: all networks; the generator is not part of this objective's parameters.
        semantics: ``(seen classes, d_a)``.
        config: weights and precision.
        processes: the job.
    """

    def __init__(
        self, networks: Networks, semantics: Tensor, config: Config, processes: Processes
    ) -> None:
        super().__init__()
        self.critic = networks.critic
        self.embedding = networks.embedding
        self.prototypes = networks.prototypes
        self.comparator = networks.comparator
        self._shared = (networks,)  # in a tuple: not registered as a part of this module
        self._semantics = semantics
        self._config = config
        self._processes = processes

    def forward(self, batch: Batch, fake: Tensor) -> tuple[Tensor, Losses]:
        """Loss and its parts (detached, before weighting) on real rows and ``(slots, d_x)`` fake.

        The fake rows come from the generator without gradient, of the same classes as the real.
        """
        loss, total = self._config.loss, self._config.train.batch_size
        semantics = self._semantics[batch.labels]
        with network_precision(self._config.train.precision, fake.device):
            real_activation = self.critic.activation(batch.features, semantics)
            fake_activation = self.critic.activation(fake, semantics)
            mixed_activation = batch.mix * real_activation + (1 - batch.mix) * fake_activation
            real_scores = self.critic.score(real_activation)
            fake_scores = self.critic.score(fake_activation)
            gradient = self.critic.input_gradient(mixed_activation)
        losses = {
            "wasserstein": wasserstein_loss(real_scores, fake_scores, total),
            "gradient_penalty": gradient_penalty(gradient, total),
        }
        weights = {"wasserstein": 1.0, "gradient_penalty": loss.gradient_penalty}
        if self.embedding is not None:
            with network_precision(self._config.train.precision, fake.device):
                hidden, projected = self.embedding(batch.features)
            losses |= embedding_losses(
                self._shared[0],
                self._config,
                loss.critic,
                self._processes,
                hidden=hidden,
                projected=projected,
                labels=batch.labels,
                semantics=self._semantics,
                total=total,
                move_means=True,
            )
            weights |= loss.critic.model_dump()
        return weighted(losses, weights)


class GeneratorObjective(nn.Module):
    """The generator against the critic, supervised by the embedding losses.

    ``-E[D(x~, a)] + w_p L_proto(fake) + w_i L_inst(fake and real) + w_c L_comp(fake)``; critic,
    embedding network, prototypes and comparator are read, not trained. Arguments as
    `CriticObjective`.
    """

    def __init__(
        self, networks: Networks, semantics: Tensor, config: Config, processes: Processes
    ) -> None:
        super().__init__()
        self.generator = networks.generator
        self._shared = (networks,)  # in a tuple: not registered as a part of this module
        self._semantics = semantics
        self._config = config
        self._processes = processes

    def forward(self, batch: Batch) -> tuple[Tensor, Losses]:
        """Loss and its parts (detached, before weighting) on synthetic rows of the real labels."""
        loss, total = self._config.loss, self._config.train.batch_size
        networks = self._shared[0]
        semantics = self._semantics[batch.labels]
        precision = self._config.train.precision
        with network_precision(precision, batch.noise.device):
            fake = self.generator(batch.noise, semantics)
            scores = networks.critic(fake, semantics)
        losses = {"adversarial": generator_loss(scores, total)}
        weights = {"adversarial": 1.0}
        if networks.embedding is not None and loss.generator.any:
            with network_precision(precision, batch.noise.device):
                hidden, projected = networks.embedding(fake)
                with torch.no_grad():
                    real = networks.embedding(batch.features)[1]
            losses |= embedding_losses(
                networks,
                self._config,
                loss.generator,
                self._processes,
                hidden=hidden,
                projected=projected,
                labels=batch.labels,
                semantics=self._semantics,
                total=total,
                others=(real, batch.labels),
                move_means=False,
            )
            weights |= loss.generator.model_dump()
        return weighted(losses, weights)


def weighted(losses: Losses, weights: dict[str, float]) -> tuple[Tensor, Losses]:
    """Sum of weighted losses, and all of them with their sum as ``total``, detached."""
    total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
    parts = {name: value.detach() for name, value in losses.items()}
    return total, parts | {"total": total.detach()}


@contextmanager
def frozen(objective: nn.Module) -> Iterator[None]:
    """Take no gradients of an objective's parameters inside the context.

    The generator's step goes through critic and embedding network; gradients of their parameters
    would be wasted, and would fire the hooks of DDP and ZeRO outside of their own step.
    """
    changed = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    for parameter in changed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in changed:
            parameter.requires_grad_(True)
