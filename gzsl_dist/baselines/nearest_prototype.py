"""The nearest visual prototype by cosine: class means, and means foretold from semantics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.nn.functional import normalize

from gzsl_dist.baselines.candidate import PENALTIES, Candidate, linear_scores, penalized_solve
from gzsl_dist.data.problem import Problem


def nearest_prototype(
    problem: Problem, semantic_penalties: Sequence[float] = PENALTIES
) -> Iterator[Candidate]:
    """Seen classes are the means of their rows; unseen ones ``a_c^T W`` with W by ridge.

    ``W = (A^T A + lambda I)^-1 A^T M`` takes the semantics A of seen classes to their means M (the
    linear form of Changpinyo et al., *Predicting Visual Exemplars*, ICCV 2017). Rows have length 1.

    Args:
        problem: its training rows.
        semantic_penalties: values of lambda, as shares of the mean diagonal.
    """
    features = normalize(problem.train.features[:].double(), dim=1)
    semantics = normalize(problem.semantics.double(), dim=1)
    seen, unseen = semantics[: problem.seen_count], semantics[problem.seen_count :]
    means = torch.zeros(problem.seen_count, features.shape[1], dtype=torch.float64)
    means.index_add_(0, problem.train.labels, features)
    means /= problem.train.labels.bincount(minlength=problem.seen_count)[:, None]
    for penalty in semantic_penalties:
        weight = penalized_solve(seen.T @ seen, penalty, seen.T @ means)
        prototypes = torch.cat([means, unseen @ weight])
        yield Candidate(
            {"semantic_penalty": penalty}, linear_scores(normalize(prototypes, dim=1).T)
        )
