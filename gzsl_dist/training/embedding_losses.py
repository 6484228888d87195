"""The embedding losses of both sides: of single rows, and of the global batch."""

from __future__ import annotations

import torch
from torch import Tensor

from gzsl_dist.config import Config, InstanceSettings, PrototypeSettings, SideWeights
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.losses.comparator import comparator_loss
from gzsl_dist.losses.instance import instance_loss
from gzsl_dist.losses.margin_softmax import margin_softmax_loss
from gzsl_dist.losses.prototype import prototype_loss
from gzsl_dist.losses.robust import robust_loss
from gzsl_dist.losses.supcon import supcon_loss
from gzsl_dist.models.networks import Networks, Prototypes
from gzsl_dist.models.precision import network_precision
from gzsl_dist.training.chunks import in_chunks

Losses = dict[str, Tensor]


def row_losses(
    networks: Networks,
    config: Config,
    weights: SideWeights,
    hidden: Tensor,
    labels: Tensor,
    semantics: Tensor,
) -> Losses:
    """The embedding losses that compare rows with classes only, before weighting.

    Args:
        networks: all networks.
        config: temperature, batch size and precision.
        weights: what this side weighs; losses of weight 0 are not computed.
        hidden: ``(rows, embedding_dim)`` of any part of the global batch.
        labels: ``(rows,)``.
        semantics: ``(seen classes, d_a)``.
    """
    if not weights.comparator or networks.comparator is None:
        return {}
    with network_precision(config.train.precision, hidden.device):
        scores = networks.comparator(hidden, semantics)
    return {
        "comparator": comparator_loss(
            scores,
            labels,
            temperature=config.loss.comparator_temperature,
            total=config.train.batch_size,
        )
    }


def batch_losses(
    networks: Networks,
    config: Config,
    weights: SideWeights,
    processes: Processes,
    *,
    projected: Tensor,
    labels: Tensor,
    semantics: Tensor,
    others: Tensor | None = None,
    move_means: bool,
) -> Losses:
    """This process's parts of the losses that compare rows with each other, before weighting.

    One gather with gradient serves prototypes and instances. Each process then computes a share
    of the prototypes' classes and of the anchors, ``batch x classes / processes`` and ``batch^2 /
    processes`` similarities in chunks (`in_chunks`); the parts of all processes add up.

    Args:
        networks: all networks.
        config: margins, scales, temperatures and batch size.
        weights: what this side weighs; losses of weight 0 are not computed.
        processes: the job.
        projected: ``(slots, d_u)``, unit vectors of this process's rows.
        labels: ``(slots,)``.
        semantics: ``(seen classes, d_a)``.
        others: ``(slots, d_u)`` of other rows of the same labels, for the instance loss only.
        move_means: whether prototypes that are moving means take this batch in.
    """
    losses: Losses = {}
    if not (weights.prototype or weights.instance):
        return losses
    settings = config.loss
    batch_size = config.train.batch_size
    if settings.negatives == "local":
        batch_size, processes = len(labels), Processes(0, 1, processes.device)
    sizes = processes.sizes(batch_size)
    everyone = processes.gather(projected, sizes, gradient=True)
    everyone_labels = processes.gather(labels, sizes)
    if weights.prototype and networks.prototypes is not None:
        losses["prototype"] = prototype_term(
            settings.prototype,
            networks.prototypes,
            processes,
            semantics,
            own=(projected, labels),
            batch=(everyone, everyone_labels),
            move_means=move_means,
        )
    if weights.instance:
        rows, labels_of_rows = everyone, everyone_labels
        if others is not None:
            rows = torch.cat([everyone, processes.gather(others, sizes)])
            labels_of_rows = everyone_labels.repeat(2)
        losses["instance"] = in_chunks(
            lambda some, rows: instance_term(settings.instance, rows, labels_of_rows, some),
            processes.share(len(rows)),
            len(rows),
            rows,
        )
    part = batch_size / config.train.batch_size  # of the global batch: 1 but for local negatives
    return {name: part * loss for name, loss in losses.items()}


def prototype_term(
    settings: PrototypeSettings,
    source: Prototypes,
    processes: Processes,
    semantics: Tensor,
    *,
    own: tuple[Tensor, Tensor],
    batch: tuple[Tensor, Tensor],
    move_means: bool,
) -> Tensor:
    """This process's part of the prototypical loss in the configured form.

    Anchors are shared out by class. A softmax needs all classes of a row, so it is by rows.

    Args:
        settings: form, margin and scale.
        source: of the prototypes.
        processes: the job.
        semantics: ``(seen classes, d_a)``.
        own: ``(slots, d_u)`` unit vectors of this process's rows, and their labels.
        batch: ``(rows, d_u)`` of all processes' rows, and their labels.
        move_means: whether prototypes that are moving means take this batch in.
    """
    margin, scale = settings.margin, settings.scale
    (mine, labels), (everyone, everyone_labels) = own, batch
    moving = batch if move_means else None
    if settings.form == "softmax":
        prototypes = source(semantics, slice(0, len(semantics)), moving)
        return in_chunks(
            lambda some, mine, prototypes: margin_softmax_loss(
                mine[some],
                labels[some],
                prototypes,
                margin=margin,
                scale=scale,
                total=len(everyone_labels),
            ),
            slice(0, len(mine)),
            len(prototypes),
            mine,
            prototypes,
        )
    classes = processes.share(len(semantics))
    prototypes = source(semantics, classes, moving)
    return in_chunks(
        lambda some, everyone, prototypes: prototype_loss(
            everyone,
            everyone_labels,
            prototypes[some.start - classes.start : some.stop - classes.start],
            margin=margin,
            scale=scale,
            adaptive=bool(settings.adaptive),
            classes=some,
            class_count=len(semantics),
        ),
        classes,
        len(everyone),
        everyone,
        prototypes,
    )


def instance_term(
    settings: InstanceSettings, embeddings: Tensor, labels: Tensor, anchors: slice
) -> Tensor:
    """The instance-level loss in the configured form, for a share of the anchors."""
    form = settings.form
    if form == "robust":
        return robust_loss(
            embeddings,
            labels,
            margin=settings.margin,
            radius=settings.radius,
            anchors=anchors,
        )
    if form == "supcon":
        return supcon_loss(embeddings, labels, temperature=settings.temperature, anchors=anchors)
    return instance_loss(
        embeddings,
        labels,
        margin=settings.margin,
        scale=settings.scale,
        adaptive=form == "adaptive",
        anchors=anchors,
    )
