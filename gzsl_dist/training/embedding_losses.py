"""The embedding losses of both sides: of single rows, and of the global batch."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from gzsl_dist.config import Config
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.losses.registry import EmbeddingLoss
from gzsl_dist.models.networks import Networks
from gzsl_dist.models.precision import network_precision
from gzsl_dist.training.chunks import in_chunks

Losses = dict[str, Tensor]
Side = Literal["critic", "generator"]


class EmbeddingLosses:
    """The registered losses that weigh something on a side; no other is computed.

    Args:
        networks: all networks.
        semantics: ``(seen classes, d_a)``.
        config: weights, settings of the losses, batch size and precision.
        processes: the job.
        side: whose weights.
    """

    def __init__(
        self,
        networks: Networks,
        semantics: Tensor,
        config: Config,
        processes: DistributedContext,
        side: Side,
    ) -> None:
        self._networks, self._semantics, self._config = networks, semantics, config
        self._processes, self._side = processes, side
        self.weights = getattr(config.loss, side)
        losses = {name: config.loss.of(name) for name in self.weights.active()}
        self.any = bool(losses)
        self._of_rows = {n: loss for n, loss in losses.items() if loss.compares == "classes"}
        self._of_batch = {n: loss for n, loss in losses.items() if loss.compares != "classes"}

    def of_rows(self, hidden: Tensor, labels: Tensor, compared: Tensor | None) -> Losses:
        """Those that compare rows with classes only, before weighting.

        Args:
            hidden: ``(rows, embedding_dim)`` of any part of the global batch.
            labels: ``(rows,)``.
            compared: ``(sample,)`` classes to compare with beside a row's own; None: all.
        """
        if not self._of_rows or self._networks.comparator is None:
            return {}
        own = None if compared is None else self._semantics[labels]
        classes = self._semantics if compared is None else self._semantics[compared]
        with network_precision(self._config.train.precision, hidden.device):
            scores = self._networks.comparator(hidden, classes, own)
        if compared is not None:  # a row's own class is its first column, and no other
            again = torch.nn.functional.pad(compared == labels[:, None], (1, 0))
            scores = scores.masked_fill(again, -math.inf)
            labels = torch.zeros_like(labels)
        total = self._config.train.batch_size
        return {
            name: _scalar(name, loss(scores, labels, total=total))
            for name, loss in self._of_rows.items()
        }

    def of_batch(self, projected: Tensor, labels: Tensor, others: Tensor | None = None) -> Losses:
        """This process's parts of those that compare rows with each other, before weighting.

        One gather with gradient serves prototypes and instances. Each process then computes a share
        of the prototypes' classes and of the anchors, ``batch x classes / processes`` and ``batch^2
        / processes`` similarities in chunks (`in_chunks`); the parts of all processes add up. On
        the critic's side, prototypes that are moving means take the batch in.

        Args:
            projected: ``(slots, d_u)``, unit vectors of this process's rows.
            labels: ``(slots,)``.
            others: ``(slots, d_u)`` of other rows of the same labels, for losses of rows with rows.
        """
        if not self._of_batch:
            return {}
        processes, batch_size = self._processes, self._config.train.batch_size
        if self._config.loss.negatives == "local":
            batch_size, processes = len(labels), DistributedContext(0, 1, processes.device)
        sizes = processes.shard_sizes(batch_size)
        batch = processes.gather(projected, sizes, gradient=True)
        batch_labels = processes.gather(labels, sizes)
        rows, row_labels = batch, batch_labels
        if others is not None:
            rows = torch.cat([batch, processes.gather(others, sizes)])
            row_labels = batch_labels.repeat(2)
        class_count = len(self._semantics)
        own = processes.shard(class_count)
        of_prototypes = [loss for loss in self._of_batch.values() if loss.compares == "prototypes"]
        made = own if all(loss.by_class for loss in of_prototypes) else slice(0, class_count)
        if of_prototypes and self._networks.prototypes is not None:
            moving = (batch, batch_labels) if self._side == "critic" else None
            prototypes = self._networks.prototypes(self._semantics, made, moving)

        def part(loss: EmbeddingLoss) -> Tensor:
            if loss.compares == "rows":
                return in_chunks(
                    lambda some, rows: loss(rows, row_labels, anchors=some),
                    processes.shard(len(rows)), len(rows), rows,
                )  # fmt: skip
            if loss.by_class:
                return in_chunks(
                    lambda some, batch, prototypes: loss(
                        batch,
                        batch_labels,
                        prototypes[some.start - made.start : some.stop - made.start],
                        classes=some,
                        class_count=class_count,
                    ),
                    own, batch_size, batch, prototypes,
                )  # fmt: skip
            return in_chunks(
                lambda some, batch, prototypes: loss(
                    batch[some], batch_labels[some], prototypes, total=batch_size
                ),
                processes.shard(batch_size), class_count, batch, prototypes,
            )  # fmt: skip

        # of the global batch: 1 but for local negatives
        share = batch_size / self._config.train.batch_size
        return {name: share * _scalar(name, part(loss)) for name, loss in self._of_batch.items()}


def _scalar(name: str, value: Tensor) -> Tensor:
    """A loss's value.

    Raises:
        InputError: it is no scalar, as where a sum was forgotten.
    """
    if value.ndim:
        raise InputError(
            f"loss {name}: gives a tensor of shape {tuple(value.shape)}; sum it into one number"
        )
    return value
