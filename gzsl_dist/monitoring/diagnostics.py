"""What losses do not show: whether embeddings overlap and whether the generator has collapsed.

Everything is measured on training rows and, in model selection, on the validation classes; a test
row is never read. Rows are a fixed sample, so figures of different steps compare.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gzsl_dist.data.problem import Problem, Rows
from gzsl_dist.evaluation.synthetic import rows_of_class
from gzsl_dist.losses.similarities import adaptive_weights
from gzsl_dist.models.networks import Networks

SAMPLE_CLASSES, SAMPLE_ROWS = 40, 12
"""Classes of each group and rows of each class that are looked at."""
COMPONENTS = 32  # of the features' principal components in which the Frechet distance is taken


@dataclass(frozen=True)
class Group:
    """Some classes, seen or unseen: as many synthetic rows as real ones, or no real ones.

    Attributes:
        labels: ``(rows,)`` class numbers of the problem.
        real: ``(rows, d_x)``, None where the real rows must not be seen.
        synthetic: ``(rows, d_x)``.
    """

    labels: Tensor
    real: Tensor | None
    synthetic: Tensor


@dataclass
class Diagnostics:
    """Scalars and histograms by TensorBoard tag; embeddings ``(rows, d_u)`` by group.

    All tensors are in host memory, wherever the networks are: they end as pictures.
    """

    scalars: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, Tensor] = field(default_factory=dict)
    embeddings: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


@torch.no_grad()
def diagnose(
    networks: Networks, problem: Problem, seed: int, margin: float | None, *, unseen: bool
) -> Diagnostics:
    """Look at networks with whole weights.

    The real rows of the problem's `unseen` classes may be read where these are validation classes.
    `margin` is that of the prototypical loss's adaptive weights, None without any.
    """
    found = Diagnostics()
    for name, group in sample_groups(networks, problem, seed, unseen=unseen).items():
        if group.real is not None:
            _compare_features(found, name, group.labels, group.real, group.synthetic)
        for kind, rows in (("real", group.real), ("synthetic", group.synthetic)):
            if rows is not None and networks.embedding is not None:
                embedded = networks.embedding(rows.to(networks.generator.output.weight))[1].cpu()
                found.embeddings[f"{kind} {name}"] = (embedded, group.labels)
                _compare_pairs(found, f"{kind}_{name}", embedded, group.labels)
    if "real seen" in found.embeddings:
        _look_at_prototypes(found, networks, problem, margin)
    return found


def sample_groups(
    networks: Networks, problem: Problem, seed: int, *, unseen: bool
) -> dict[str, Group]:
    """Rows of some seen and some unseen classes, alike for every step."""
    seen_classes = spread(problem.seen_count)
    unseen_classes = [
        problem.seen_count + number for number in spread(len(problem.classes) - problem.seen_count)
    ]
    groups = {"seen": _group(networks, problem, seed, seen_classes, problem.train)}
    if unseen_classes:
        real = problem.unseen if unseen else None
        groups["unseen"] = _group(networks, problem, seed, unseen_classes, real)
    return groups


def spread(count: int) -> list[int]:
    """At most `SAMPLE_CLASSES` of ``range(count)``, evenly."""
    step = max(1, -(-count // SAMPLE_CLASSES))
    return list(range(0, count, step))


def _group(
    networks: Networks, problem: Problem, seed: int, classes: list[int], real: Rows | None
) -> Group:
    labels, rows, synthetic = [], [], []
    for number in classes:
        count = SAMPLE_ROWS
        if real is not None:
            ids = torch.nonzero(real.labels == number)[:SAMPLE_ROWS, 0]
            count = len(ids)
            rows.append(real.features[ids])
        labels.append(torch.full((count,), number))
        synthetic.append(rows_of_class(networks, problem, number, count, seed))
    return Group(
        labels=torch.cat(labels),
        real=torch.cat(rows) if real is not None else None,
        synthetic=torch.cat(synthetic).float().cpu(),
    )


def _compare_features(
    found: Diagnostics, name: str, labels: Tensor, real: Tensor, synthetic: Tensor
) -> None:
    """How far synthetic features are from real ones, and how much they vary within a class."""
    real_means, real_spread = class_means(real.float(), labels)
    means, spreads = class_means(synthetic, labels)
    scale = real_means.norm(dim=1).mean()
    found.scalars[f"synthetic/mean_distance_{name}"] = float(
        (means - real_means).norm(dim=1).mean() / scale
    )
    found.scalars[f"synthetic/diversity_{name}"] = float(
        spreads.mean() / real_spread.mean().clamp_min(1e-12)
    )
    found.scalars[f"synthetic/frechet_{name}"] = frechet_distance(real.float(), synthetic)


def class_means(rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(classes, d)`` of each class, and root mean square distance of its rows from it."""
    classes = torch.unique(labels)
    means = torch.stack([rows[labels == label].mean(dim=0) for label in classes])
    spreads = torch.stack(
        [
            (rows[labels == label] - mean).square().sum(dim=1).mean().sqrt()
            for label, mean in zip(classes, means, strict=True)
        ]
    )
    return means, spreads


def frechet_distance(real: Tensor, synthetic: Tensor, components: int = COMPONENTS) -> float:
    """Frechet distance of two normal distributions (Heusel et al., NeurIPS 2017, eq. 6).

    ``|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))`` of ``(rows, d)`` each, in the first principal
    components of the real rows (all dimensions would need more rows than there are), divided by the
    real variance in them: 0 for equal distributions, 1 where they are as far apart as real rows are
    from their mean.
    """
    center = real.mean(dim=0)
    count = min(components, len(real) - 1, real.shape[1])
    _, _, directions = torch.linalg.svd((real - center).double(), full_matrices=False)
    basis = directions[:count].T
    ours = (synthetic - center).double() @ basis
    theirs = (real - center).double() @ basis
    own, other = torch.cov(ours.T).view(count, count), torch.cov(theirs.T).view(count, count)
    # tr (S S')^(1/2) is the sum of the roots of the eigenvalues of S'^(1/2) S S'^(1/2)
    values, vectors = torch.linalg.eigh(other)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ own @ root).clamp_min(0).sqrt().sum()
    shift = (ours.mean(dim=0) - theirs.mean(dim=0)).square().sum()
    distance = shift + own.trace() + other.trace() - 2 * cross
    return float(distance.clamp_min(0) / other.trace().clamp_min(1e-12))


def _compare_pairs(found: Diagnostics, name: str, embedded: Tensor, labels: Tensor) -> None:
    """Similarities of rows of one class and of different classes, and how far they overlap."""
    similarity = embedded @ embedded.T
    same = labels[:, None] == labels[None, :]
    above = torch.ones_like(same).triu(1)
    positive, negative = similarity[same & above], similarity[~same & above]
    found.histograms[f"similarity/positive_{name}"] = positive
    found.histograms[f"similarity/negative_{name}"] = negative
    if len(positive) and len(negative):
        found.scalars[f"similarity/gap_{name}"] = float(positive.mean() - negative.mean())
        found.scalars[f"similarity/overlap_{name}"] = overlap(positive, negative)


def overlap(positive: Tensor, negative: Tensor) -> float:
    """Area under the smaller of two densities in 100 bins of [-1, 1]: 1 equal, 0 apart."""
    one, other = (
        torch.histc(values.float(), 100, -1, 1) / len(values) for values in (positive, negative)
    )
    return float(torch.minimum(one, other).sum())


def _look_at_prototypes(
    found: Diagnostics, networks: Networks, problem: Problem, margin: float | None
) -> None:
    embedded, labels = found.embeddings["real seen"]
    if networks.prototypes is None:
        return
    semantics = problem.semantics[: problem.seen_count].to(networks.generator.output.weight)
    prototypes = networks.prototypes(semantics, slice(0, problem.seen_count)).to(embedded)
    similarity = prototypes @ prototypes.T
    similarity.fill_diagonal_(-torch.inf)
    nearest = similarity.max(dim=1).values
    found.scalars["prototypes/nearest_pair"] = float(nearest.max())
    found.scalars["prototypes/nearest_mean"] = float(nearest.mean())
    found.histograms["prototypes/nearest"] = nearest
    to_rows = embedded @ prototypes.T
    own = labels[:, None] == torch.arange(problem.seen_count)[None, :]
    found.histograms["prototypes/similarity_own"] = to_rows[own]
    found.histograms["prototypes/similarity_other"] = to_rows[~own]
    if margin is not None:
        attract, repel = adaptive_weights(to_rows, margin)
        found.histograms["weights/positive"] = attract[own]
        found.histograms["weights/negative"] = repel[~own]
        found.scalars["weights/positive_mean"] = float(attract[own].mean())
        found.scalars["weights/negative_mean"] = float(repel[~own].mean())


def plane(embeddings: Tensor) -> NDArray[np.float32]:
    """``(rows, 2)``: the first two principal components of ``(rows, d)``."""
    centered = embeddings.float() - embeddings.float().mean(dim=0)
    _, _, directions = torch.linalg.svd(centered, full_matrices=False)
    result: NDArray[np.float32] = (centered @ directions[:2].T).cpu().numpy()
    return result
