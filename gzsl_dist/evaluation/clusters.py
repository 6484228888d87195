"""How well rows of unseen classes cluster: what the abstract claims of the embedding.

Measured after the end of training, on real test rows and on synthetic rows of the same classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from gzsl_dist.bank.generate import synthesize_class
from gzsl_dist.config import Config
from gzsl_dist.data.problem import Problem
from gzsl_dist.evaluation.classifier_space import ClassifierSpace
from gzsl_dist.evaluation.score import classifier_input
from gzsl_dist.models.networks import Networks
from gzsl_dist.monitoring.diagnostics import overlap

MOST_CLASSES, MOST_ROWS = 200, 100
"""Classes, and rows of each, that are looked at; the first of them."""

Clusters = dict[str, dict[str, dict[str, float]]]


@torch.no_grad()
def unseen_clusters(networks: Networks, problem: Problem, config: Config) -> Clusters | None:
    """Figures of `cluster_figures` by ``real`` or ``synthetic`` and by space: ``x``, ``h``, ``u``.

    Args:
        networks: with whole weights.
        problem: whose unseen rows may be read.
        config: the seed.

    Returns:
        None where there is one class only, or one row of each: nothing clusters then.
    """
    classes = range(problem.seen_count, len(problem.classes))[:MOST_CLASSES]
    rows, labels, synthetic = [], [], []
    for number in classes:
        ids = torch.nonzero(problem.unseen.labels == number)[:MOST_ROWS, 0]
        rows.append(problem.unseen.features[ids])
        labels.append(torch.full((len(ids),), number))
        synthetic.append(
            synthesize_class(
                networks.generator,
                problem.semantics[number],
                number=int(problem.classes[number]),
                rows=slice(0, len(ids)),
                seed=config.train.seed,
            )
        )
    if len(classes) < 2 or sum(map(len, labels)) <= len(classes):
        return None
    spaces = ["x"] if networks.embedding is None else ["x", "h", "u"]
    return {
        kind: {
            space: cluster_figures(
                classifier_input(networks, torch.cat(found), ClassifierSpace(space, False))
                .float()
                .cpu(),
                torch.cat(labels),
            )
            for space in spaces
        }
        for kind, found in (("real", rows), ("synthetic", synthetic))
    }


def cluster_figures(rows: Tensor, labels: Tensor) -> dict[str, float]:
    """Figures of ``(rows, d)`` with class ``labels``, by cosine.

    Returns:
        ``mAP@R``: see `map_at_r`. ``margin``: similarity to the own class's mean less that to the
        nearest other class's, mean over rows. ``overlap``: of the distributions of similarities
        within and between classes, 0 apart, 1 equal. ``silhouette``: Rousseeuw, 1987. ``NMI``: of
        k-means with as many clusters as classes, and the classes.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score, silhouette_score

    rows = normalize(rows, dim=1)
    classes, labels = torch.unique(labels, return_inverse=True)
    similarity = rows @ rows.T
    same = labels[:, None] == labels[None, :]
    above = torch.ones_like(same).triu(1)
    means = torch.zeros(len(classes), rows.shape[1]).index_add_(0, labels, rows)
    to_means = rows @ normalize(means, dim=1).T
    own = torch.nn.functional.one_hot(labels, len(classes)).bool()
    nearest_other = to_means.masked_fill(own, -torch.inf).max(dim=1).values
    found = KMeans(len(classes), n_init=3, random_state=0).fit_predict(rows.numpy())
    return {
        "mAP@R": map_at_r(similarity, labels),
        "margin": float((to_means[own] - nearest_other).mean()),
        "overlap": overlap(similarity[same & above], similarity[~same & above]),
        "silhouette": float(silhouette_score(rows.numpy(), labels.numpy(), metric="cosine")),
        "NMI": float(normalized_mutual_info_score(labels.numpy(), found)),
    }


def map_at_r(similarity: Tensor, labels: Tensor) -> float:
    """Mean average precision at R (Musgrave et al., *A Metric Learning Reality Check*, ECCV 2020).

    Each row looks for the R others of its class; its value is the sum over ranks up to R of the
    precision there, where the row found is of the class, divided by R.

    Args:
        similarity: ``(rows, rows)``.
        labels: ``(rows,)``; rows that are alone in their class do not count.
    """
    similarity = similarity.clone().fill_diagonal_(-torch.inf)
    relevant = labels.bincount()[labels] - 1
    order = similarity.topk(int(relevant.max()), dim=1).indices
    hits = (labels[order] == labels[:, None]).double()
    ranks = torch.arange(1, hits.shape[1] + 1)
    hits *= ranks <= relevant[:, None]
    precisions = hits.cumsum(dim=1) / ranks * hits
    counted = relevant > 0
    return float((precisions.sum(dim=1)[counted] / relevant[counted]).mean())
