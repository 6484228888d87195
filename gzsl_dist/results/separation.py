"""How well methods keep unseen classes apart, over seeds: what the abstract claims."""

from __future__ import annotations

from collections.abc import Sequence

from gzsl_dist.results.collect import Group
from gzsl_dist.results.statistics import paired_difference

FIGURES = {
    "margin": "margin", "overlap": "overlap", "silhouette": "silhouette", "map_at_r": "mAP@R",
    "nmi": "NMI",
}  # fmt: skip
NOTE = (
    "How well the rows of unseen classes keep apart, times 100: mean over seeds and half the width "
    "of its 95 % interval (Student's t). Behind it, how far the first line of the same rows and "
    "space is ahead, on equal seeds (paired t); * where its interval leaves out zero. Overlap is "
    "better when smaller, all else when larger."
)


def separation_table(groups: Sequence[Group]) -> list[list[str]]:
    """Rows of text, the first with the names of the columns; nothing where nothing was measured.

    Args:
        groups: of a finished study, whose figures have names as ``real_u_margin``.
    """
    rows = []
    for data in dict.fromkeys(group.data for group in groups):
        of_data = [group for group in groups if group.data == data]
        for kind in ("real", "synthetic"):
            for space in ("u", "h", "x"):
                measured = [g for g in of_data if f"{kind}_{space}_margin" in g.estimates]
                if space == "x" and kind == "real":
                    measured = measured[:1]  # features are the same for all
                for group in measured:
                    cells = [
                        _cell(measured[0], group, f"{kind}_{space}_{name}") for name in FIGURES
                    ]
                    rows.append([data, kind, space, _name(group, space, kind), *cells])
    head = ["data", "rows", "space", "method", *FIGURES.values()]
    return [head, *rows] if rows else []


def _name(group: Group, space: str, kind: str) -> str:
    return "any" if (space, kind) == ("x", "real") else group.name


def _cell(first: Group, group: Group, name: str) -> str:
    """A figure, and by how much the first group is ahead of another one."""
    if group is first:
        return str(group.estimates[name])
    ahead = paired_difference(
        *({s: run[name] for s, run in g.runs.items()} for g in (first, group))
    )
    return f"{group.estimates[name]}" + (f" ({ahead})" if ahead else "")
