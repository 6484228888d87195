"""Tables of figures over seeds, of each run, and of what differs between runs."""

from __future__ import annotations

from collections.abc import Sequence

from gzsl_dist.results.groups import (
    FIGURES,
    RAW,
    SEPARABILITY,
    Group,
    Run,
    shown_figures,
    telling,
    with_rivals,
)
from gzsl_dist.results.runs import Finished
from gzsl_dist.results.statistics import Estimate
from gzsl_dist.results.table import Table

NOTE = (
    "Mean over seeds, in percent, and half the width of its 95 % interval (Student's t); one seed "
    "has none."
)
TEST_NOTE = f"{NOTE} Test rows, read once at the end of each run."
SEARCH_NOTE = (
    f"{NOTE} Validation classes at the step chosen on them, so all figures are optimistic; no test "
    "row was read. Steps and factor as chosen."
)
PAIRED_NOTE = (
    "Paired differences over the seeds that both have, in points, and half the width of their 95 % "
    "interval (paired t); * where it leaves out zero. Not corrected for the number of comparisons."
)
SEPARABILITY_NOTE = (
    "Separability of the rows of unseen classes, times 100: mean over seeds and half the width "
    "of its 95 % interval (Student's t). Behind it, how far the first line of the same rows and "
    "space is ahead, on equal seeds (paired t); * where its interval leaves out zero. Overlap is "
    "better when smaller, all else when larger."
)
UNSEEN_ROWS = ("real", "synthetic")
ALL_ROWS = (*UNSEEN_ROWS, "real_seen", "synthetic_seen")


def figure_text(name: str, estimate: Estimate | None) -> str:
    """An estimate in its figure's unit; nothing without one."""
    if estimate is None:
        return ""
    if name == "steps":
        return estimate.text(1, 0)
    return estimate.text(1, 3) if name == "factor" else str(estimate)


def figure_cells(group: Group[Run], names: Sequence[str]) -> list[str]:
    """Estimates of a group."""
    return [figure_text(name, group.estimate(name)) for name in names]


def title(name: str) -> str:
    """A figure's name as the head of a column."""
    return name.replace("raw_", "uncalibrated ")


def study(groups: Sequence[Group[Run]]) -> Table:
    """Every combination of a sweep."""
    names, marks = shown_figures(groups), ["best"] * groups[0].searches
    body = [
        [group.data, group.method, group.point, f"{len(group.seeds)} of {group.planned}"]
        + figure_cells(group, names)
        + [mark if group.best else "" for mark in marks]
        for group in groups
    ]
    note = SEARCH_NOTE if groups[0].searches else TEST_NOTE
    return Table(note, ["data", "method", "settings", "seeds", *names, *marks], body, words=3)


def paired(groups: Sequence[Group[Run]]) -> Table | None:
    """The first combination of each data set against the others; None where nothing compares.

    Trials of a search are not compared.
    """
    body = []
    for first, others in with_rivals(groups) if not groups[0].searches else ():
        for other in others:
            found = [first.less(other, name) for name in FIGURES]
            if seeds := [str(one.seeds) for one in found if one]:
                cells = [one.lead if one else "" for one in found]
                body.append([first.data, first.name, other.name, seeds[0], *cells])
    head = ["data", "first", "less", "seeds", *FIGURES]
    return Table(PAIRED_NOTE, head, body, words=3) if body else None


def separability(groups: Sequence[Group[Run]], kinds: Sequence[str] = UNSEEN_ROWS) -> Table | None:
    """Separability of classes, what the abstract claims; None where nothing was measured."""
    body = []
    for first, others in with_rivals(groups):
        for kind in kinds:
            for space in ("u", "h", "x"):
                measured = [
                    group for group in (first, *others) if group.estimate(f"{kind}_{space}_margin")
                ]
                if space == "x" and kind == "real":
                    measured = measured[:1]  # features are the same for all
                for group in measured:
                    name = "any" if (space, kind) == ("x", "real") else group.name
                    cells = [
                        _with_lead(measured[0], group, f"{kind}_{space}_{figure}")
                        for figure in SEPARABILITY
                    ]
                    body.append([group.data, kind.replace("_", " "), space, name, *cells])
    head = ["data", "rows", "space", "method", *SEPARABILITY.values()]
    note = SEPARABILITY_NOTE if kinds == UNSEEN_ROWS else SEPARABILITY_NOTE.replace(" unseen", "")
    return Table(note, head, body, words=4) if body else None


def _with_lead(first: Group[Run], group: Group[Run], name: str) -> str:
    """A figure, and by how much the first group is ahead of another one."""
    ahead = None if group is first else first.less(group, name)
    return figure_text(name, group.estimate(name)) + (f" ({ahead.lead})" if ahead else "")


def results(groups: Sequence[Finished]) -> Table:
    """U, S, H, T1, AUSUC, and U, S, H without calibration, of each group."""
    names = (*FIGURES, *RAW)
    data = " and of ".join(dict.fromkeys(group.data for group in groups))
    return Table(
        f"Test rows of {data}, in percent: mean over seeds ± half of the 95 % interval (Student's "
        "t; one seed has none). U, S and H with the calibration factor that validation classes "
        "chose; uncalibrated ones without.",
        ("method", "seeds", *map(title, names)),
        [
            [group.name, ", ".join(map(str, group.seeds)), *figure_cells(group, names)]
            for group in groups
        ],
        words=2,
    )


def every_run(groups: Sequence[Finished]) -> Table:
    """The figures of each run, and how it was trained."""
    names = (*FIGURES, *RAW)
    body = [
        [run.name, group.name]
        + [f"{100 * run.figures[name]:.1f}" if name in run.figures else "" for name in names]
        + [str(run.seed), str(run.result.steps), f"{run.result.calibration['factor']:.3f}"]
        + [f"{run.result.world_size} ({run.result.strategy})", _duration(run.result.seconds)]
        for group in groups
        for run in group.runs
    ]
    head = ("run", "method", *map(title, names), "seed", "steps", "factor", "processes", "time")
    note = "Every run, in percent. Time is that of the start which finished it."
    return Table(note, head, body, words=2)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def settings(groups: Sequence[Finished]) -> Table | None:
    """Settings that differ between runs; within a group, all values. None if none differ."""
    first, *others = (run.settings for group in groups for run in group.runs)
    body = [
        [f"`{name}`"]
        + [", ".join(dict.fromkeys(str(run.settings[name]) for run in g.runs)) for g in groups]
        for name in telling(first, others)
        if name != "run.dir"
    ]
    note = "Settings that differ between the runs; all others are equal."
    head = ("setting", *(group.name for group in groups))
    return Table(note, head, body, words=len(head)) if body else None


def versions(groups: Sequence[Finished]) -> Table:
    """What each run's data and software were."""
    runs = [run for group in groups for run in group.runs]
    names = list(runs[0].result.versions)
    body = [
        [run.name, run.result.dataset["name"], f"`{run.data[:12]}`"]
        + [run.result.versions.get(name, "") for name in names]
        for run in runs
    ]
    head = ("run", "data set", "fingerprint", *names)
    return Table("Data and software of each run.", head, body, words=len(head))
