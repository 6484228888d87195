"""A bilinear compatibility in closed form: ESZSL (Romera-Paredes and Torr, ICML 2015)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.nn.functional import normalize

from gzsl_dist.baselines.candidate import PENALTIES, Candidate, penalized_solve, unit_blocks
from gzsl_dist.data.problem import Problem


def ridge(
    problem: Problem,
    feature_penalties: Sequence[float] = PENALTIES,
    semantic_penalties: Sequence[float] = PENALTIES,
) -> Iterator[Candidate]:
    """Fit ``x^T V a_c`` to +1 for a row's class and -1 for others, at every pair of penalties.

    ``V = (X^T X + gamma I)^-1 X^T Y A (A^T A + lambda I)^-1`` (eq. 5 of the paper), with rows of X
    of length 1, as those of A, then less their mean: on the validation classes of CUB, centring
    raised H by 2 points. The penalties are shares of the matrices' mean diagonals.

    Args:
        problem: its training rows; ``classes`` of them seen.
        feature_penalties: values of gamma.
        semantic_penalties: values of lambda.
    """
    semantics = normalize(problem.semantics.double(), dim=1)
    seen = semantics[: problem.seen_count]
    # sums over rows, never rows x classes: X^T Y A is 2 (each class's sum)^T A - (sum)^T (1^T A),
    # of which the last is zero when X is centred
    sums = torch.zeros(problem.seen_count, problem.feature_dim, dtype=torch.float64)
    left = torch.zeros(problem.feature_dim, problem.feature_dim, dtype=torch.float64)
    for rows, labels in unit_blocks(problem):
        sums.index_add_(0, labels, rows)
        left += rows.T @ rows
    counts = problem.train.labels.bincount(minlength=problem.seen_count)[:, None]
    center = sums.sum(dim=0) / counts.sum()
    left -= counts.sum() * torch.outer(center, center)
    right, middle = seen.T @ seen, 2 * (sums - counts * center).T @ seen
    for gamma in feature_penalties:
        half = penalized_solve(left, gamma, middle)
        for lam in semantic_penalties:
            weight = penalized_solve(right, lam, half.T).T @ semantics.T  # (d_x, classes)
            yield Candidate(
                {"feature_penalty": gamma, "semantic_penalty": lam}, weight.T, -(center @ weight)
            )
