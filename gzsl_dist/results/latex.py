"""A report's table of results for a paper, in LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gzsl_dist.results import tables
from gzsl_dist.results.runs import Group, notes

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "–": "--",
}  # fmt: skip


def latex_report(groups: Sequence[Group]) -> str:
    """A ``tabular`` of `tables.results`; notes and caption as comments above."""
    table = tables.results(groups)
    comments = [*notes(groups), table.caption, r"Needs \usepackage{booktabs}."]
    columns = "l" * table.words + "r" * (len(table.head) - table.words)
    return "\n".join(
        [
            *(f"% {comment}" for comment in comments),
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _row(table.head),
            r"\midrule",
            *(_row(row) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def escaped(text: str) -> str:
    """Text with LaTeX's special characters made plain."""
    return re.sub("|".join(map(re.escape, SPECIAL)), lambda found: SPECIAL[found[0]], text)
