"""The two objectives: each returns the whole loss of one optimizer step in one forward.

Each process returns its part; the parts of all processes add up to the loss (see
`gzsl_dist.distributed.strategies` for how the gradients do).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from gzsl_dist.config import Config
from gzsl_dist.data.batches import Batch
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.losses.wgan import generator_loss, gradient_penalty, wasserstein_loss
from gzsl_dist.models.networks import Networks
from gzsl_dist.models.precision import network_precision
from gzsl_dist.training.embedding_losses import Losses, batch_losses, row_losses
from gzsl_dist.training.micro_batches import Rows, in_micro_batches, micro_batch_count


class Objective(nn.Module):
    """What both objectives share: the loss of single rows, that of the batch, and their sum.

    Args:
        networks: all networks.
        semantics: ``(seen classes, d_a)``.
        config: weights and precision.
        processes: the job.
    """

    def __init__(
        self, networks: Networks, semantics: Tensor, config: Config, processes: Processes
    ) -> None:
        super().__init__()
        self._shared = (networks,)  # in a tuple: not registered as a part of this module
        self._semantics = semantics
        self._config = config
        self._processes = processes
        self.micro_batches = micro_batch_count(
            processes.sizes(config.train.batch_size)[0], config.train.micro_batch_size
        )

    def prepare(self, rows: Rows) -> Rows:
        """The function of rows, compiled if so configured: no collective in it breaks its graph."""
        compiled: Rows = torch.compile(rows) if self._config.train.compile else rows
        return compiled

    def precise(self) -> AbstractContextManager[object]:
        """Context for the networks' forward passes."""
        return network_precision(self._config.train.precision, self._semantics.device)


class CriticObjective(Objective):
    """Critic, embedding network, prototypes and comparator on real rows.

    ``L_D + l_p L_proto(real) + l_i L_inst(real) + l_c L_comp(real)``: one optimizer over all; the
    generator is not part of this objective's parameters.
    """

    def __init__(
        self, networks: Networks, semantics: Tensor, config: Config, processes: Processes
    ) -> None:
        super().__init__(networks, semantics, config, processes)
        self.critic = networks.critic
        self.embedding = networks.embedding
        self.prototypes = networks.prototypes
        self.comparator = networks.comparator
        self._rows = self.prepare(self.rows)

    def forward(self, batch: Batch, fake: Tensor) -> tuple[Tensor, Losses]:
        """Loss and its parts (detached, before weighting) on real rows and ``(slots, d_x)`` fake.

        The fake rows come from the generator without gradient, of the same classes as the real.
        """
        weights = self._config.loss.critic
        losses, projected = in_micro_batches(
            self._rows, batch.features, batch.labels, batch.mix, fake, count=self.micro_batches
        )
        if projected is not None:
            losses |= batch_losses(
                self._shared[0],
                self._config,
                weights,
                self._processes,
                projected=projected,
                labels=batch.labels,
                semantics=self._semantics,
                move_means=True,
            )
        gan_weights = {
            "wasserstein": 1.0,
            "gradient_penalty": self._config.loss.gradient_penalty,
        }
        return weighted(losses, gan_weights | weights.model_dump())

    def rows(
        self, features: Tensor, labels: Tensor, mix: Tensor, fake: Tensor
    ) -> tuple[Losses, Tensor | None]:
        """Losses of a part of the real rows beside as many synthetic ones, and ``(rows, d_u)``."""
        total = self._config.train.batch_size
        with self.precise():
            real_activation, fake_activation = self.critic.activations(
                (features, fake), self._semantics, labels
            )
            mixed_activation = mix * real_activation + (1 - mix) * fake_activation
            real_scores = self.critic.score(real_activation)
            fake_scores = self.critic.score(fake_activation)
            gradient = self.critic.input_gradient(mixed_activation)
        losses = {
            "wasserstein": wasserstein_loss(real_scores, fake_scores, total),
            "gradient_penalty": gradient_penalty(gradient, total),
            "gradient_norm": gradient.detach().float().norm(dim=1).sum() / total,
        }
        if self.embedding is None:
            return losses, None
        with self.precise():
            hidden, projected = self.embedding(features)
        losses |= row_losses(
            self._shared[0],
            self._config,
            self._config.loss.critic,
            hidden,
            labels,
            self._semantics,
        )
        return losses, projected


class GeneratorObjective(Objective):
    """The generator against the critic, supervised by the embedding losses.

    ``-E[D(x~, a)] + w_p L_proto(fake) + w_i L_inst(fake and real) + w_c L_comp(fake)``; critic,
    embedding network, prototypes and comparator are read, not trained.
    """

    def __init__(
        self, networks: Networks, semantics: Tensor, config: Config, processes: Processes
    ) -> None:
        super().__init__(networks, semantics, config, processes)
        self.generator = networks.generator
        self._rows = self.prepare(self.rows)

    def forward(self, batch: Batch) -> tuple[Tensor, Losses]:
        """Loss and its parts (detached, before weighting) on synthetic rows of the real labels."""
        weights = self._config.loss.generator
        losses, projected = in_micro_batches(
            self._rows, batch.noise, batch.labels, count=self.micro_batches
        )
        if projected is not None:
            losses |= batch_losses(
                self._shared[0],
                self._config,
                weights,
                self._processes,
                projected=projected,
                labels=batch.labels,
                semantics=self._semantics,
                others=self.project(batch.features) if weights.instance else None,
                move_means=False,
            )
        return weighted(losses, {"adversarial": 1.0} | weights.model_dump())

    def rows(self, noise: Tensor, labels: Tensor) -> tuple[Losses, Tensor | None]:
        """Losses of synthetic rows of a part of the ``(rows, d_z)`` noise, and ``(rows, d_u)``."""
        networks = self._shared[0]
        with self.precise():
            fake = self.generator(noise, self._semantics, labels)
            scores = networks.critic(fake, self._semantics, labels)
        losses = {"adversarial": generator_loss(scores, self._config.train.batch_size)}
        weights = self._config.loss.generator
        if networks.embedding is None or not weights.any:
            return losses, None
        with self.precise():
            hidden, projected = networks.embedding(fake)
        losses |= row_losses(networks, self._config, weights, hidden, labels, self._semantics)
        return losses, projected

    @torch.no_grad()
    def project(self, features: Tensor) -> Tensor:
        """``(rows, d_u)`` of real ``(rows, d_x)`` features, without gradient."""
        embedding = self._shared[0].embedding
        assert embedding is not None
        with self.precise():
            pieces = torch.tensor_split(features, self.micro_batches)
            return torch.cat([embedding(piece)[1] for piece in pieces])


def weighted(losses: Losses, weights: dict[str, float]) -> tuple[Tensor, Losses]:
    """Sum of weighted losses, and all parts with their sum, detached, by their logged names.

    What has no weight is no loss but a figure to look at.
    """
    total = torch.stack(
        [weights[name] * value for name, value in losses.items() if name in weights]
    )
    parts = {
        f"{name}_loss" if name in weights else name: value.detach()
        for name, value in losses.items()
    }
    return total.sum(), parts | {"total_loss": total.detach().sum()}


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
