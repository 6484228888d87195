"""The tables of a report, as rows of text; `page`, `markdown` and `latex` give them their form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gzsl_dist.evaluation.representation import GROUPS
from gzsl_dist.results.runs import FinishedRun, Group
from gzsl_dist.results.statistics import Estimate
from gzsl_dist.results.table import Table

FIGURES = ("U", "S", "H", "T1", "AUSUC")
RAW = ("U", "S", "H")
MOST_LISTED = 5  # best classes, worst classes
MOST_PAIRS = 10  # of classes that are taken for each other
MOST_CLASSES = 400  # in the list of all classes
SEPARATION = {
    "overlap": "overlap", "margin": "margin", "silhouette": "silhouette", "map_at_r": "mAP@R",
    "nmi": "NMI",
}  # fmt: skip
ABSENT = "–"


def percent(estimate: Estimate | None) -> str:
    """A mean in percent, and half of its interval's width if it has one."""
    return ABSENT if estimate is None else str(estimate)


def data_of(groups: Sequence[Group]) -> str:
    """Names of the data sets; where there are several, the names of groups tell theirs."""
    return " and of ".join(dict.fromkeys(group.data_name for group in groups))


def results(groups: Sequence[Group]) -> Table:
    """U, S, H, T1, AUSUC, and U, S, H without calibration, of each group."""
    rows = [
        [group.name, ", ".join(map(str, group.seeds))]
        + [percent(group.estimate(_figure(name))) for name in FIGURES]
        + [percent(group.estimate(_raw(name))) for name in RAW]
        for group in groups
    ]
    head = ("method", "seeds", *FIGURES, *(f"raw {name}" for name in RAW))
    return Table(
        f"Test rows of {data_of(groups)}, in percent: mean over seeds ± half of the 95 % "
        "interval (Student's t; one seed has none). U, S and H with the calibration factor that "
        "validation classes chose; raw ones without.",
        head, rows, words=2,
    )  # fmt: skip


def _figure(name: str) -> Callable[[FinishedRun], float]:
    return lambda run: float(getattr(run.result, name))


def _raw(name: str) -> Callable[[FinishedRun], float]:
    return lambda run: run.result.raw[name]


def every_run(groups: Sequence[Group]) -> Table:
    """The figures of each run, and how it was trained."""
    rows = []
    for group in groups:
        for run in group.runs:
            result = run.result
            figures = [getattr(result, name) for name in FIGURES]
            figures += [result.raw[name] for name in RAW]
            rows.append(
                [run.name, group.name]
                + [f"{100 * figure:.1f}" for figure in figures]
                + [str(result.seed), str(result.steps), f"{result.calibration['factor']:.3f}"]
                + [f"{result.world_size} ({result.strategy})", _duration(result.seconds)]
            )
    head = (
        "run", "method", *FIGURES, *(f"raw {name}" for name in RAW), "seed", "steps",
        "factor", "processes", "time",
    )  # fmt: skip
    return Table(
        "Every run, in percent. Time is that of the start which finished it.", head, rows, words=2
    )


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def class_accuracies(group: Group, side: str) -> dict[str, float]:
    """Top-1 of each class as a fraction, mean over runs, highest first, then by name."""
    names = group.runs[0].result.per_class[side]
    means = {
        name: sum(run.result.per_class[side][name] for run in group.runs) / len(group.runs)
        for name in names
    }
    return dict(sorted(means.items(), key=lambda pair: (-pair[1], pair[0])))


def best_and_worst(groups: Sequence[Group], side: str) -> Table:
    """Classes with the highest and the lowest accuracy, by name; no class is on both lists."""
    columns = []
    for group in groups:
        found = [
            f"{name}: {100 * value:.1f}" for name, value in class_accuracies(group, side).items()
        ]
        best = found[: min(MOST_LISTED, (len(found) + 1) // 2)]
        worst = found[::-1][: min(MOST_LISTED, len(found) // 2)]
        columns.append((_filled(best, MOST_LISTED), _filled(worst, MOST_LISTED)))
    rows = [
        [f"{kind} {rank + 1}", *(column[place][rank] for column in columns)]
        for place, kind in enumerate(("best", "worst"))
        for rank in range(MOST_LISTED)
    ]
    rows = [row for row in rows if any(cell != ABSENT for cell in row[1:])]
    return Table(
        f"Best and worst {side} classes: top-1 on test rows in percent, all classes competing, "
        "calibrated, mean over seeds.",
        ("rank", *(group.name for group in groups)), rows, words=1 + len(groups),
    )  # fmt: skip


def _filled(cells: list[str], count: int) -> list[str]:
    return cells + [ABSENT] * (count - len(cells))


def all_classes(groups: Sequence[Group], side: str) -> Table | None:
    """Every class by name; groups of one data set. None where they are too many to read."""
    found = [class_accuracies(group, side) for group in groups]
    if not found[0] or len(found[0]) > MOST_CLASSES:
        return None
    rows = [[name, *(f"{100 * each[name]:.1f}" for each in found)] for name in sorted(found[0])]
    return Table(
        f"All {side} classes: top-1 on test rows in percent, calibrated, mean over seeds.",
        (f"{side} class", *(group.name for group in groups)), rows,
    )  # fmt: skip


def confusion_shares(group: Group) -> dict[tuple[str, str], float]:
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


def most_confused(groups: Sequence[Group]) -> Table | None:
    """The most frequent mistakes among unseen classes; None if no run wrote them."""
    columns = []
    for group in groups:
        wrong = [
            (pair, share) for pair, share in confusion_shares(group).items() if len({*pair}) > 1
        ]
        wrong.sort(key=lambda item: (-item[1], item[0]))
        columns.append(
            _filled(
                [
                    f"{true} as {taken}: {100 * share:.0f}"
                    for (true, taken), share in wrong[:MOST_PAIRS]
                ],
                MOST_PAIRS,
            )
        )
    rows = [
        [str(rank + 1), *(column[rank] for column in columns)]
        for rank in range(MOST_PAIRS)
        if any(column[rank] != ABSENT for column in columns)
    ]
    if not rows:
        return None
    return Table(
        "Most frequent mistakes among unseen classes (only these compete, as for T1): share of the "
        "first class's test rows in percent, over all seeds.",
        ("rank", *(group.name for group in groups)), rows, words=1 + len(groups),
    )  # fmt: skip


def separation(groups: Sequence[Group]) -> Table | None:
    """How well classes keep apart, real and synthetic, in each space; None if nothing measured."""
    rows = []
    for kind in GROUPS:
        for group in groups:
            for space in spaces_of(group):
                found = [group.estimate(_separation(kind, space, figure)) for figure in SEPARATION]
                if found[0] is not None:
                    cells = [each.text(1, 3) if each else ABSENT for each in found]
                    rows.append([group.name, kind, space, *cells])
    if not rows:
        return None
    return Table(
        "How well classes keep apart, by cosine similarity, in features x and, where the method "
        "trains an embedding, in its hidden layer h and contrastive space u; mean over seeds ± "
        "half of the 95 % interval. Better: overlap low (0 apart, 1 the same), the others high.",
        ("method", "rows of classes", "space", *SEPARATION.values()), rows, words=3,
    )  # fmt: skip


def spaces_of(group: Group) -> list[str]:
    """Spaces in which rows of a group's runs were compared, the method's own first."""
    for run in group.runs:
        if run.representation is not None:
            own = run.representation["space"]
            found = {
                space: None for each in run.representation["groups"].values() for space in each
            }
            return [own, *(space for space in found if space != own)]
    return []


def _separation(kind: str, space: str, figure: str) -> Callable[[FinishedRun], float | None]:
    def find(run: FinishedRun) -> float | None:
        groups = (run.representation or {"groups": {}})["groups"]
        value = groups.get(kind, {}).get(space, {}).get(figure)
        return None if value is None else float(value)

    return find


def settings(groups: Sequence[Group]) -> Table | None:
    """Settings that differ between runs; within a group, all values. None if none differ."""
    runs = [run for group in groups for run in group.runs]
    names = [
        name
        for name in runs[0].settings
        if name != "run.dir" and len({repr(run.settings[name]) for run in runs}) > 1
    ]
    if not names:
        return None
    rows = [
        [f"`{name}`"]
        + [
            ", ".join(dict.fromkeys(str(run.settings[name]) for run in group.runs))
            for group in groups
        ]
        for name in names
    ]
    return Table(
        "Settings that differ between the runs; all others are equal.",
        ("setting", *(group.name for group in groups)), rows, words=1 + len(groups),
    )  # fmt: skip


def versions(groups: Sequence[Group]) -> Table:
    """What each run's data and software were."""
    runs = [run for group in groups for run in group.runs]
    names = list(runs[0].result.versions)
    rows = [
        [run.name, run.result.dataset["name"], f"`{run.data[:12]}`"]
        + [run.result.versions.get(name, ABSENT) for name in names]
        for run in runs
    ]
    return Table(
        "Data and software of each run.",
        ("run", "data set", "fingerprint", *names), rows, words=3 + len(names),
    )  # fmt: skip
