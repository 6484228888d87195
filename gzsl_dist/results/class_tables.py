"""Tables of classes: the best and the worst, all of them, and which are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from gzsl_dist.results.runs import Finished
from gzsl_dist.results.table import Table

MOST_LISTED = 5  # best classes, worst classes
MOST_PAIRS = 10  # of classes that are taken for each other
MOST_CLASSES = 400  # in the list of all classes


def class_accuracies(group: Finished, side: str) -> dict[str, float]:
    """Top-1 of each class as a fraction, mean over runs, highest first, then by name."""
    names = group.runs[0].result.per_class[side]
    means = {
        name: sum(run.result.per_class[side][name] for run in group.runs) / len(group.runs)
        for name in names
    }
    return dict(sorted(means.items(), key=lambda pair: (-pair[1], pair[0])))


def best_and_worst(groups: Sequence[Finished], side: str) -> Table:
    """Classes with the highest and the lowest accuracy, by name; no class is on both lists."""
    found = [
        [f"{name}: {100 * value:.1f}" for name, value in class_accuracies(group, side).items()]
        for group in groups
    ]
    best = [cells[: min(MOST_LISTED, (len(cells) + 1) // 2)] for cells in found]
    worst = [cells[::-1][: min(MOST_LISTED, len(cells) // 2)] for cells in found]
    return Table(
        f"Best and worst {side} classes: top-1 on test rows in percent, all classes competing, "
        "calibrated, mean over seeds.",
        ("rank", *(group.name for group in groups)),
        [*_side_by_side("best ", best), *_side_by_side("worst ", worst)],
        words=1 + len(groups),
    )


def _side_by_side(name: str, lists: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows with a rank and an entry of each list, as many as the longest has."""
    rows = enumerate(zip_longest(*lists, fillvalue=""), start=1)
    return [[f"{name}{rank}", *cells] for rank, cells in rows]


def all_classes(groups: Sequence[Finished], side: str) -> Table | None:
    """Every class by name; groups of one data set. None where they are too many to read."""
    found = [class_accuracies(group, side) for group in groups]
    if not found[0] or len(found[0]) > MOST_CLASSES:
        return None
    return Table(
        f"All {side} classes: top-1 on test rows in percent, calibrated, mean over seeds.",
        (f"{side} class", *(group.name for group in groups)),
        [[name, *(f"{100 * each[name]:.1f}" for each in found)] for name in sorted(found[0])],
    )


def confusion_shares(group: Finished) -> dict[tuple[str, str], float]:
    """(Unseen class, unseen class it was taken for): share of its rows, over all runs."""
    counts: dict[tuple[str, str], int] = {}
    totals: dict[str, int] = {}
    for run in group.runs:
        found: dict[str, Any] = run.confusion or {"rows": {}, "among_unseen": []}
        for name, count in found["rows"].items():
            totals[name] = totals.get(name, 0) + count
        for true, taken, count in found["among_unseen"]:
            counts[true, taken] = counts.get((true, taken), 0) + count
    return {pair: count / totals[pair[0]] for pair, count in counts.items()}


def most_confused(groups: Sequence[Finished]) -> Table | None:
    """The most frequent mistakes among unseen classes; None if no run wrote them."""
    columns = []
    for group in groups:
        shares = confusion_shares(group).items()
        wrong = sorted((-share, pair) for pair, share in shares if len({*pair}) > 1)[:MOST_PAIRS]
        columns.append([f"{true} as {taken}: {-100 * share:.0f}" for share, (true, taken) in wrong])
    note = (
        "Most frequent mistakes among unseen classes (only these compete, as for T1): share of the "
        "first class's test rows in percent, over all seeds."
    )
    head = ("rank", *(group.name for group in groups))
    return Table(note, head, _side_by_side("", columns), words=len(head)) if any(columns) else None
