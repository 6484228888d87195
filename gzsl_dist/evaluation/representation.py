"""How well rows keep classes apart: what the abstract claims of the embedding.

Measured once, after the end of training, on real test rows and on synthetic rows of the same
classes; nothing is chosen by it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gzsl_dist.config import Config
from gzsl_dist.data.problem import Problem
from gzsl_dist.evaluation.classifier_space import ClassifierSpace, classifier_input
from gzsl_dist.evaluation.synthetic import rows_of_class
from gzsl_dist.files import atomic_write, read_json_object
from gzsl_dist.models.networks import Networks
from gzsl_dist.run.files import RunFiles

MOST_CLASSES, MOST_ROWS = 100, 60
"""Classes of each group and rows of each class that are measured."""
BINS = 100  # of [-1, 1]
BLOCK = 1024  # rows whose similarities to all others are held at once
GROUPS = ("real unseen", "synthetic unseen", "real seen", "synthetic seen")
FIGURES = ("overlap", "margin", "silhouette", "map_at_r", "nmi")

Separation = dict[str, float | int | list[float]]
"""What `separation` returns, by name."""


@torch.no_grad()
def write_representation(
    directory: Path, networks: Networks, problem: Problem, config: Config
) -> None:
    """Measure and write ``representation.json``: ``space``, ``bins`` and ``groups``.

    ``space`` is the one to judge the method by, see `space_of`. ``groups`` holds a `separation` by
    group of `GROUPS` and by space: of seen classes in this space, of unseen ones in features ``x``
    and, where the method trains an embedding, in ``h`` and ``u``. A group without two classes of
    two rows is left out.
    """
    own = space_of(config)
    groups: dict[str, dict[str, Separation]] = {}
    unseen = range(problem.seen_count, len(problem.classes))
    every_space = ["x"] if networks.embedding is None else ["x", "h", "u"]
    sides = {
        "unseen": (problem.unseen, unseen, every_space),
        "seen": (problem.seen, range(problem.seen_count), [own]),
    }
    for side, (rows, classes, spaces) in sides.items():
        ids = sample_rows(rows.labels, classes)
        labels = rows.labels[ids]
        if len(torch.unique(labels)) < 2:
            continue
        synthetic = _synthetic_like(networks, problem, config.train.seed, labels)
        for kind, features in (("real", rows.features[ids]), ("synthetic", synthetic)):
            groups[f"{kind} {side}"] = {
                space: separation(
                    classifier_input(networks, features, ClassifierSpace(space, False))
                    .float()
                    .cpu(),
                    labels,
                )
                for space in spaces
            }
    content = {"space": own, "bins": BINS, "groups": groups}
    atomic_write(RunFiles(directory).representation, json.dumps(content))


def read_representation(directory: Path) -> dict[str, Any] | None:
    """What `write_representation` wrote into a run directory.

    Returns:
        None where the file is absent (a baseline, an older run) or lacks the spaces (an older one).

    Raises:
        InputError: damaged.
    """
    path = RunFiles(directory).representation
    if not path.exists():
        return None
    content = read_json_object(path, "measure again: python -m gzsl_dist.evaluate --details")
    groups, space = content.get("groups"), content.get("space")
    if not isinstance(groups, dict) or not all(
        isinstance(spaces, dict) and isinstance(spaces.get(space), dict)
        for spaces in groups.values()
    ):
        return None
    return content


def space_of(config: Config) -> str:
    """The contrastive space ``u`` where the method trains it, else ``h``, else features ``x``."""
    losses = config.loss.critic
    if losses.active("prototypes", "rows"):
        return "u"
    return "h" if losses.active() else "x"


def sample_rows(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """Places of at most `MOST_ROWS` rows of at most `MOST_CLASSES` classes, evenly, class by class.

    A class of one row has no pair and is left out.
    """
    counts = torch.bincount(labels, minlength=max(classes, default=0) + 1)
    found = [number for number in classes if counts[number] > 1]
    chosen = []
    for place in _evenly(len(found), MOST_CLASSES):
        ids = torch.nonzero(labels == found[place])[:, 0]
        chosen.append(ids[_evenly(len(ids), MOST_ROWS)])
    return torch.cat(chosen) if chosen else torch.empty(0, dtype=torch.int64)


def _evenly(count: int, most: int) -> list[int]:
    """At most `most` of ``range(count)``, evenly spread."""
    taken = min(count, most)
    return [place * count // taken for place in range(taken)]


def _synthetic_like(networks: Networks, problem: Problem, seed: int, labels: Tensor) -> Tensor:
    """Synthetic rows ``(rows, d_x)``, as many of each class as `labels` has, in its order."""
    classes, counts = torch.unique_consecutive(labels, return_counts=True)
    parts = [
        rows_of_class(networks, problem, number, count, seed)
        for number, count in zip(classes.tolist(), counts.tolist(), strict=True)
    ]
    return torch.cat(parts)


def separation(embedded: Tensor, labels: Tensor) -> Separation:
    """How well rows of one class keep together and apart from others, by cosine similarity.

    Args:
        embedded: ``(rows, d)``, of any length.
        labels: ``(rows,)``; at least two classes, each of at least two rows.

    Returns:
        ``same`` and ``other``: shares of the pairs of one class and of two classes by similarity,
        in `BINS` equal bins of [-1, 1]; ``overlap``: the area under the smaller of the two, 0
        apart, 1 equal; ``margin``: see `class_margin`; ``silhouette``: mean silhouette coefficient
        (Rousseeuw, 1987) under cosine distance; ``map_at_r``: mean average precision at R
        (Musgrave et al., ECCV 2020), every row a query against all others; ``nmi``:
        normalized mutual information of classes and as many k-means clusters (one start);
        ``classes`` and ``rows``: how many were measured.
    """
    # here and not above: it takes a second to load, and training starts without it
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import normalized_mutual_info_score, silhouette_score

    unit = torch.nn.functional.normalize(embedded, dim=1)
    same, other, precision = _compare_pairs(unit, labels)
    _, numbers = torch.unique(labels, return_inverse=True)
    classes = int(numbers.max()) + 1
    with warnings.catch_warnings():  # a collapsed generator makes fewer points than classes
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = KMeans(classes, n_init=1, random_state=0).fit_predict(unit.numpy())
    return {
        "overlap": float(torch.minimum(same, other).sum()),
        "margin": class_margin(unit, numbers),
        "silhouette": float(silhouette_score(unit.numpy(), numbers.numpy(), metric="cosine")),
        "map_at_r": precision,
        "nmi": float(normalized_mutual_info_score(numbers.numpy(), clusters)),
        "classes": classes,
        "rows": len(labels),
        "same": [round(share, 7) for share in same.tolist()],
        "other": [round(share, 7) for share in other.tolist()],
    }


def class_margin(unit: Tensor, numbers: Tensor) -> float:
    """How much nearer a class is to its own mean than to the nearest other class's mean.

    For each class: the mean cosine similarity of its rows to the mean direction of the class's
    *other* rows (a row would be near a mean that holds it), less the highest, over other classes,
    of the mean cosine similarity of its rows to that class's mean direction. Averaged over classes.
    Below 0, classes are nearer to another class than to themselves.

    Args:
        unit: ``(rows, d)`` of length 1.
        numbers: ``(rows,)`` classes 0 to C - 1, each of at least two rows.
    """
    counts = torch.bincount(numbers)
    sums = unit.new_zeros(len(counts), unit.shape[1]).index_add_(0, numbers, unit)
    without_own = torch.nn.functional.normalize(sums[numbers] - unit, dim=1)
    own = torch.zeros(len(counts)).index_add_(0, numbers, (unit * without_own).sum(dim=1)) / counts
    means = sums / counts[:, None]
    across = means @ torch.nn.functional.normalize(sums, dim=1).T  # mean of rows' similarities
    across.fill_diagonal_(-torch.inf)
    return float((own - across.max(dim=1).values).mean())


def _compare_pairs(unit: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, float]:
    """Histograms ``(BINS,)`` of same-class and other-class similarities, and mAP@R."""
    same, other = torch.zeros(BINS, dtype=torch.float64), torch.zeros(BINS, dtype=torch.float64)
    precision = 0.0
    for first in range(0, len(unit), BLOCK):
        similarity = (unit[first : first + BLOCK] @ unit.T).clamp(-1, 1)
        mine = torch.arange(first, first + len(similarity))
        alike = labels[mine, None] == labels[None, :]
        itself = mine[:, None] == torch.arange(len(unit))[None, :]
        same += torch.histc(similarity[alike & ~itself], BINS, -1, 1)
        other += torch.histc(similarity[~alike], BINS, -1, 1)
        precision += _precision_at_r(similarity.masked_fill(itself, -torch.inf), alike)
    return same / same.sum(), other / other.sum(), precision / len(unit)


def _precision_at_r(similarity: Tensor, alike: Tensor) -> float:
    """Sum over queries of average precision at R, R the number of other rows of the class."""
    relevant = alike.sum(dim=1) - 1
    nearest = similarity.topk(int(relevant.max()), dim=1).indices
    ranks = torch.arange(1, nearest.shape[1] + 1)
    hits = alike.gather(1, nearest) & (ranks <= relevant[:, None])
    precisions = torch.where(hits, hits.cumsum(dim=1) / ranks, 0.0)
    return float((precisions.sum(dim=1) / relevant).sum())
