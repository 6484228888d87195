"""The nearest visual prototype by cosine: class means, and means predicted from semantics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.nn.functional import normalize

from gzsl_dist.baselines.candidate import Candidate, unit_blocks
from gzsl_dist.data.problem import Problem
from gzsl_dist.models.anchor import PENALTIES, WIDTHS, regressions

LINEAR = None
"""In place of a kernel's width: the inner product."""


def nearest_prototype(
    problem: Problem,
    kernel_widths: Sequence[float | None] = (LINEAR, *WIDTHS),
    semantic_penalties: Sequence[float] = PENALTIES,
) -> Iterator[Candidate]:
    """Seen classes are the means of their rows; unseen ones what the anchor's regression says.

    That is ridge, or kernel ridge, of the means of rows of length 1 on semantics (Changpinyo et
    al., *Predicting Visual Exemplars*, ICCV 2017); `gzsl_dist.models.anchor` has the formula.

    Args:
        problem: its training rows.
        kernel_widths: of the kernel, in parts of the median squared distance; `LINEAR` for none.
        semantic_penalties: values of lambda.
    """
    seen, unseen = problem.semantics.double().split(
        [problem.seen_count, len(problem.semantics) - problem.seen_count]
    )
    means = torch.zeros(problem.seen_count, problem.feature_dim, dtype=torch.float64)
    for rows, labels in unit_blocks(problem):
        means.index_add_(0, labels, rows)
    means /= problem.train.labels.bincount(minlength=problem.seen_count)[:, None]
    for width in kernel_widths:
        form, widths = ("ridge", ()) if width is LINEAR else ("kernel_ridge", (width,))
        for one in regressions(form, seen, means, widths, semantic_penalties):
            prototypes = normalize(torch.cat([means, one(unseen)]), dim=1)
            settings = {} if width is LINEAR else {"kernel_width": width}
            yield Candidate(
                settings | {"semantic_penalty": one.penalty},
                prototypes,
                prototypes.new_zeros(len(prototypes)),
            )
