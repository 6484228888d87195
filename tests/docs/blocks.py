"""The code blocks of a page, and the marks on those that no test can run."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

LANGUAGES = {"python": "python", "sh": "sh", "bash": "sh", "yaml": "yaml"}
MARK = re.compile(r"<!--\s*not run:\s*(.*?)\s*-->")


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        line: of the page where it starts, from 1.
        language: python, sh, yaml, or what its fence says; empty if that says nothing.
        text: the code.
        reason: why it is not run; None: it is.
    """

    line: int
    language: str
    text: str
    reason: str | None = None


def blocks_of(page: str) -> list[Block]:
    """All code blocks, fenced or indented, in order.

    A line ``<!-- not run: REASON -->`` before a block marks it. An indented block is cut where
    another language starts after an empty line.

    Raises:
        ValueError: a mark without a reason, or without a block after it; a fence without an end.
    """
    lines, found = page.splitlines(), list[Block]()
    reason, at = None, 0
    while at < len(lines):
        line = lines[at]
        if mark := MARK.fullmatch(line.strip()):
            if not mark[1] or reason is not None:
                raise ValueError(f"line {at + 1}: a mark needs a reason and a block of its own")
            reason, at = mark[1], at + 1
            continue
        if line.lstrip().startswith("```"):
            indent = len(line) - len(line.lstrip())
            language = line.strip().strip("`").strip()
            stop = at + 1
            while stop < len(lines) and lines[stop].strip() != "```":
                stop += 1
            if stop == len(lines):
                raise ValueError(f"line {at + 1}: the fence has no end")
            text = "\n".join(row[indent:] for row in lines[at + 1 : stop])
            found.append(Block(at + 1, LANGUAGES.get(language, language), text, reason))
            reason, at = None, stop + 1
        elif line.startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            stop = at
            while stop < len(lines) and (lines[stop].startswith("    ") or not lines[stop].strip()):
                stop += 1
            found += [Block(*part, reason) for part in _parts(at + 1, lines[at:stop])]
            reason, at = None, stop
        elif reason is not None and line.strip():
            raise ValueError(f"line {at + 1}: the mark before it has no code block")
        else:
            at += 1
    if reason is not None:
        raise ValueError("the last mark has no code block")
    return found


def _parts(first: int, lines: list[str]) -> Iterator[tuple[int, str, str]]:
    """An indented block cut into those of one language each."""
    rows = textwrap.dedent("\n".join(lines)).splitlines()
    starts = [
        number
        for number, row in enumerate(rows)
        if row.strip() and not row[0].isspace() and (number == 0 or not rows[number - 1].strip())
    ]
    cuts = starts[:1]
    for start in starts[1:]:
        if _kind(rows[start]) != _kind(rows[cuts[-1]]):
            cuts.append(start)
    for start, stop in zip(cuts, [*cuts[1:], len(rows)], strict=True):
        yield first + start, _kind(rows[start]), "\n".join(rows[start:stop]).strip("\n")


def _kind(row: str) -> str:
    if re.match(r"(import|from) \w", row):
        return "python"
    return "yaml" if re.match(r"[\w.]+:(\s|$)", row) else "sh"
