"""Every loss as plain loops over numbers, written from the method's equations, not from its code.

Similarities come as tables, ``s[i][c]``. Their numbers are 0-d float64 tensors, where gradients are
wanted, or `decimal.Decimal`, where ``exp`` would overflow a float. ``at`` is the table (of floats)
at which adaptive weights are taken, so that they are constants by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from torch import Tensor

Table = Sequence[Sequence[Any]]


def log(number: Any) -> Any:
    return number.ln() if isinstance(number, Decimal) else number.log()


def log_one_plus_sum(terms: list[Any]) -> Any:
    return log(1 + sum(terms)) if terms else 0


def similarity_table(left: Tensor, right: Tensor) -> list[list[Tensor]]:
    return [[(row * column).sum() for column in right] for row in left]


def numbers(table: Sequence[Sequence[Tensor]]) -> list[list[float]]:
    return [[value.item() for value in row] for row in table]


def decimals(table: Table) -> list[list[Decimal]]:
    return [[Decimal(float(value)) for value in row] for row in table]


def attraction(s: Any, at: Any, margin: Any, scale: Any, adaptive: bool) -> Any:
    """exp(-g w+ (s - D+)): w+ = [1 + m - s]_+, D+ = 1 - m; or w = 1, D+ = m."""
    if adaptive:
        return (-scale * max(0 * at, 1 + margin - at) * (s - (1 - margin))).exp()
    return (-scale * (s - margin)).exp()


def repulsion(s: Any, at: Any, margin: Any, scale: Any, adaptive: bool) -> Any:
    """exp(g w- (s - D-)): w- = [s + m]_+, D- = m; or w = 1, D- = -m."""
    if adaptive:
        return (scale * max(0 * at, at + margin) * (s - margin)).exp()
    return (scale * (s + margin)).exp()


def prototype_loop(
    s: Table, labels: list[int], at: Table, *, margin: Any, scale: Any, adaptive: bool
) -> Any:
    """1/|C+| sum_{c in C+} log(1 + sum_{y_i=c} ...) + 1/|C| sum_c log(1 + sum_{y_i!=c} ...)."""
    classes, rows = range(len(s[0])), range(len(labels))
    present = sorted(set(labels))
    zero = 0 * s[0][0]
    pulled, pushed = zero, zero
    for c in present:
        pulled = pulled + log_one_plus_sum(
            [attraction(s[i][c], at[i][c], margin, scale, adaptive) for i in rows if labels[i] == c]
        )
    for c in classes:
        pushed = pushed + log_one_plus_sum(
            [repulsion(s[i][c], at[i][c], margin, scale, adaptive) for i in rows if labels[i] != c]
        )
    return pulled / len(present) + pushed / len(classes)


def instance_loop(
    s: Table, labels: list[int], at: Table, *, margin: Any, scale: Any, adaptive: bool
) -> Any:
    """mean_i log(1 + sum_{j in N(i)} ... * sum_{k in P(i)} ...) over rows with a positive."""
    rows = range(len(labels))
    terms = []
    for i in rows:
        positives = [k for k in rows if k != i and labels[k] == labels[i]]
        negatives = [j for j in rows if labels[j] != labels[i]]
        if positives:
            repelled = sum(repulsion(s[i][j], at[i][j], margin, scale, adaptive) for j in negatives)
            attracted = sum(
                attraction(s[i][k], at[i][k], margin, scale, adaptive) for k in positives
            )
            terms.append(log_one_plus_sum([repelled * attracted]) if negatives else 0)
    return sum(terms) / len(terms) if terms else 0


def supcon_loop(s: Table, labels: list[int], temperature: Any) -> Any:
    """mean_i -1/|P(i)| sum_{k in P(i)} log(exp(s_ik/t) / sum_{j != i} exp(s_ij/t))."""
    rows = range(len(labels))
    terms = []
    for i in rows:
        positives = [k for k in rows if k != i and labels[k] == labels[i]]
        if positives:
            everything = sum((s[i][j] / temperature).exp() for j in rows if j != i)
            logs = [log((s[i][k] / temperature).exp() / everything) for k in positives]
            terms.append(-sum(logs) / len(positives))
    return sum(terms) / len(terms) if terms else 0


def margin_softmax_loop(s: Table, labels: list[int], *, margin: float, scale: float) -> Any:
    """mean_i -log(exp(g (s_iy - m)) / (exp(g (s_iy - m)) + sum_{c != y} exp(g s_ic)))."""
    terms = []
    for row, label in zip(s, labels, strict=True):
        own = (scale * (row[label] - margin)).exp()
        others = [(scale * value).exp() for c, value in enumerate(row) if c != label]
        terms.append(-log(own / (own + sum(others))))
    return sum(terms) / len(terms)


def comparator_loop(scores: Table, labels: list[int], temperature: Any) -> Any:
    """mean_i -log(exp(F_iy/t) / sum_c exp(F_ic/t))."""
    terms = []
    for row, label in zip(scores, labels, strict=True):
        exponentials = [(score / temperature).exp() for score in row]
        terms.append(-log(exponentials[label] / sum(exponentials)))
    return sum(terms) / len(terms)
