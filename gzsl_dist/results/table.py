"""A table as rows of text, and its form in Markdown and LaTeX (`page.html` has that in HTML)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

ABSENT = "–"
SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "–": "--",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is the row's header.

    Attributes:
        caption: what it shows.
        head: names of the columns.
        body: rows as long as `head` each; an empty cell has nothing to show.
        words: how many columns hold words, from the left; the others hold numbers.
    """

    caption: str
    head: Sequence[str]
    body: Sequence[Sequence[str]]
    words: int = 1

    @property
    def rows(self) -> list[list[str]]:
        """The body, with a mark in cells that have nothing to show."""
        return [[cell or ABSENT for cell in row] for row in self.body]

    def markdown(self) -> str:
        """The table without its caption."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "".join(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
        )

    def latex(self, notes: Sequence[str] = ()) -> str:
        """A ``tabular`` for a paper; notes and caption as comments above."""
        head, *rows = (" & ".join(map(escaped, row)) + r" \\" for row in [self.head, *self.rows])
        comments = [*notes, self.caption, r"Needs \usepackage{booktabs}."]
        columns = "l" * self.words + "r" * (len(self.head) - self.words)
        lines = [*(f"% {comment}" for comment in comments), rf"\begin{{tabular}}{{{columns}}}"]
        lines += [r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", ""]
        return "\n".join(lines)


def escaped(text: str) -> str:
    """Text with LaTeX's special characters made plain."""
    return re.sub("|".join(map(re.escape, SPECIAL)), lambda found: SPECIAL[found[0]], text)
