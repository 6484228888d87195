"""A table as rows of text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is the row's header.

    Attributes:
        caption: what it shows.
        head: names of the columns.
        rows: as long as `head` each.
        words: how many columns hold words, from the left; the others hold numbers.
    """

    caption: str
    head: tuple[str, ...]
    rows: list[list[str]]
    words: int = 1
