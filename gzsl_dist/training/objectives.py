"""The two objectives: each returns the whole loss of one optimizer step in one forward.

Each process returns its part; the parts of all processes add up to the loss (see
`gzsl_dist.distributed.strategies` for how the gradients do).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from gzsl_dist.config import Config
from gzsl_dist.data.batches import Batch
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.losses.wgan import generator_loss, gradient_penalty, wasserstein_loss
from gzsl_dist.models.networks import Networks
from gzsl_dist.models.precision import network_precision
from gzsl_dist.training.embedding_losses import EmbeddingLosses, Losses, Side
from gzsl_dist.training.micro_batches import Rows, in_micro_batches, micro_batch_count


class Objective(nn.Module):
    """What both objectives share: the loss of single rows, that of the batch, and their sum.

    Args:
        networks: all networks.
        semantics: ``(seen classes, d_a)``.
        config: weights and precision.
        processes: the job.
    """

    side: Side
    trains: tuple[str, ...]
    rows: Rows

    def __init__(
        self, networks: Networks, semantics: Tensor, config: Config, processes: DistributedContext
    ) -> None:
        super().__init__()
        self._shared = (networks,)  # in a tuple: not registered as a part of this module
        for name in self.trains:
            setattr(self, name, getattr(networks, name))
        self._semantics, self._config = semantics, config
        self._embedding_losses = EmbeddingLosses(networks, semantics, config, processes, self.side)
        # no collective in it breaks its graph
        self._rows: Rows = torch.compile(self.rows) if config.train.compile else self.rows
        self.micro_batches = micro_batch_count(
            processes.shard_sizes(config.train.batch_size)[0], config.train.micro_batch_size
        )

    def precise(self) -> AbstractContextManager[object]:
        """Context for the networks' forward passes."""
        return network_precision(self._config.train.precision, self._semantics.device)

    def weighted(self, losses: Losses, weights: dict[str, float]) -> tuple[Tensor, Losses]:
        """Sum of weighted losses, and all parts with their sum, detached, by their logged names.

        `weights` are those of losses that are not of the embedding. What has no weight is no loss
        but a figure to look at.
        """
        weights = weights | self._embedding_losses.weights.model_dump()
        weighted = [weights[name] * value for name, value in losses.items() if name in weights]
        parts = {
            f"{name}_loss" if name in weights else name: value.detach()
            for name, value in losses.items()
        }
        total = torch.stack(weighted)
        return total.sum(), parts | {"total_loss": total.detach().sum()}


class CriticObjective(Objective):
    """Critic, embedding network, prototypes and comparator on real rows.

    ``L_D + l_p L_proto(real) + l_i L_inst(real) + l_c L_comp(real)``: one optimizer over all; the
    generator is not part of this objective's parameters.
    """

    side = "critic"
    trains = ("critic", "embedding", "prototypes", "comparator")

    def forward(self, batch: Batch, fake: Tensor) -> tuple[Tensor, Losses]:
        """Loss and its parts (detached, before weighting) on real rows and ``(slots, d_x)`` fake.

        The fake rows come from the generator without gradient, of the same classes as the real.
        """
        rows = partial(self._rows, compared=batch.compared)
        losses, projected = in_micro_batches(
            rows, batch.features, batch.labels, batch.mix, fake, count=self.micro_batches
        )
        if projected is not None:
            losses |= self._embedding_losses.of_batch(projected, batch.labels)
        penalty = self._config.loss.gradient_penalty
        return self.weighted(losses, {"wasserstein": 1.0, "gradient_penalty": penalty})

    def rows(
        self,
        features: Tensor,
        labels: Tensor,
        mix: Tensor,
        fake: Tensor,
        compared: Tensor | None = None,
    ) -> tuple[Losses, Tensor | None]:
        """Losses of a part of the real rows beside as many synthetic ones, and ``(rows, d_u)``."""
        networks, total = self._shared[0], self._config.train.batch_size
        with self.precise():
            real_activation, fake_activation = networks.critic.activations(
                (features, fake), self._semantics, labels
            )
            mixed_activation = mix * real_activation + (1 - mix) * fake_activation
            real_scores = networks.critic.score(real_activation)
            fake_scores = networks.critic.score(fake_activation)
            gradient = networks.critic.input_gradient(mixed_activation)
        losses = {
            "wasserstein": wasserstein_loss(real_scores, fake_scores, total),
            "gradient_penalty": gradient_penalty(gradient, total),
            "gradient_norm": gradient.detach().float().norm(dim=1).sum() / total,
        }
        if networks.embedding is None:
            return losses, None
        with self.precise():
            hidden, projected = networks.embedding(features)
        return losses | self._embedding_losses.of_rows(hidden, labels, compared), projected


class GeneratorObjective(Objective):
    """The generator against the critic, supervised by the embedding losses.

    ``-E[D(x~, a)] + w_p L_proto(fake) + w_i L_inst(fake and real) + w_c L_comp(fake)``; critic,
    embedding network, prototypes and comparator are read, not trained.
    """

    side = "generator"
    trains = ("generator",)

    def forward(self, batch: Batch) -> tuple[Tensor, Losses]:
        """Loss and its parts (detached, before weighting) on synthetic rows of the real labels."""
        rows = partial(self._rows, compared=batch.compared)
        losses, projected = in_micro_batches(
            rows, batch.noise, batch.labels, count=self.micro_batches
        )
        if projected is not None:
            with_real = self._embedding_losses.weights.active("rows")
            others = self.project(batch.features) if with_real else None
            losses |= self._embedding_losses.of_batch(projected, batch.labels, others)
        return self.weighted(losses, {"adversarial": 1.0})

    def rows(
        self, noise: Tensor, labels: Tensor, compared: Tensor | None = None
    ) -> tuple[Losses, Tensor | None]:
        """Losses of synthetic rows of a part of the ``(rows, d_z)`` noise, and ``(rows, d_u)``."""
        networks = self._shared[0]
        with self.precise():
            fake = networks.generator(noise, self._semantics, labels)
            scores = networks.critic(fake, self._semantics, labels)
        losses = {"adversarial": generator_loss(scores, self._config.train.batch_size)}
        if networks.embedding is None or not self._embedding_losses.any:
            return losses, None
        with self.precise():
            hidden, projected = networks.embedding(fake)
        return losses | self._embedding_losses.of_rows(hidden, labels, compared), projected

    @torch.no_grad()
    def project(self, features: Tensor) -> Tensor:
        """``(rows, d_u)`` of real ``(rows, d_x)`` features, without gradient."""
        embedding = self._shared[0].embedding
        assert embedding is not None
        with self.precise():
            pieces = torch.tensor_split(features, self.micro_batches)
            return torch.cat([embedding(piece)[1] for piece in pieces])


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
