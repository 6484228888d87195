"""Pieces of a self-contained page: its shell and style, tables and figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from gzsl_dist.results.table import Table

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --quiet: #5b6570;
  --line: #d5dae0; --panel: #f5f7f9; --mark: #8a5a00; --markground: #fff6e0; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --ink: #e4e7eb; --quiet: #a0a9b4;
  --line: #363d46; --panel: #1d2127; --mark: #f2c879; --markground: #2c2413; --link: #7db8f7; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: var(--ground);
  color: var(--ink); }
main, header { max-width: 76rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1.5rem 0 .5rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line);
  padding-top: 1rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
p { max-width: 46rem; }
a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none; }
.note { border-left: 4px solid var(--mark); background: var(--markground); padding: .6rem .9rem;
  margin: .6rem 0; max-width: 60rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
.wide:focus-visible { outline: 2px solid var(--link); }
table { min-width: min(100%, 32rem); border-collapse: collapse; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--quiet); padding-bottom: .4rem; font-size: .92rem; }
caption span { display: block; max-width: min(46rem, calc(100vw - 2rem)); position: sticky;
  left: 0; }
th, td { padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { font-weight: 600; }
th.words, td.words { text-align: left; }
td.words { white-space: normal; min-width: 4.5rem; }
tbody th { font-weight: 500; position: sticky; left: 0; background: var(--ground); }
.figures { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
figure { margin: 0; padding: .8rem; background: var(--panel); border-radius: .5rem; }
figure svg { display: block; width: 100%; height: auto; max-width: 34rem; margin: 0 auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
figcaption { font-size: .88rem; color: var(--quiet); margin-top: .4rem; }
details { margin: 1rem 0; }
summary { cursor: pointer; font-weight: 600; }
code { font-size: .9em; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--panel);
  padding: .7rem .9rem; border-radius: .5rem; font-size: .85rem; margin: .3rem 0 1rem; }
img { max-width: 100%; background: white; }
@media (max-width: 40rem) { body { font-size: 15px; } th, td { padding-right: .6rem; }
  tbody th { min-width: 4.5rem; max-width: 45vw; white-space: normal; } }
@media print { .wide { overflow: visible; } details:not([open]) { display: none; } }
"""


def page(title: str, header: str, body: str) -> str:
    """A whole document.

    Args:
        title: plain text, the heading too.
        header: HTML below the heading.
        body: HTML of the page's main part.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{escape(title)}</h1>\n{header}\n</header>\n"
        f"<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def text(words: str) -> str:
    """Plain words as HTML; what stands in backticks is code. Long names may break at _ and dots."""

    def code(found: re.Match[str]) -> str:
        return f"<code>{re.sub(r'[.](?=[a-z])', '.<wbr>', found[1])}</code>"

    whole = re.sub(r"`([^`]+)`", code, escape(words))
    return re.sub(r"_(?=\w)", "_<wbr>", whole)


def html_table(table: Table) -> str:
    """A table with its caption, a header for each column and each row, that scrolls by itself."""

    def kind(column: int) -> str:
        return ' class="words"' if column < table.words else ""

    head = "".join(
        f'<th scope="col"{kind(n)}>{text(name)}</th>' for n, name in enumerate(table.head)
    )
    rows = "\n".join(
        f'<tr><th scope="row"{kind(0)}>{text(row[0])}</th>'
        + "".join(f"<td{kind(n)}>{text(cell)}</td>" for n, cell in enumerate(row[1:], start=1))
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(table.caption)}">\n'
        f"<table>\n<caption><span>{text(table.caption)}</span></caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )


def figure(drawing: str, caption: str) -> str:
    """A picture and what it is."""
    return f"<figure>\n{drawing}\n<figcaption>{text(caption)}</figcaption>\n</figure>"


def figures(found: Sequence[str]) -> str:
    """Figures side by side where there is room."""
    return '<div class="figures">\n' + "\n".join(found) + "\n</div>"


def section(name: str, title: str, parts: Sequence[str]) -> str:
    """A section that the page's list of contents can name."""
    return f'<section id="{name}">\n<h2>{escape(title)}</h2>\n' + "\n".join(parts) + "\n</section>"


def folded(title: str, parts: Sequence[str]) -> str:
    """What opens on demand."""
    return f"<details>\n<summary>{escape(title)}</summary>\n" + "\n".join(parts) + "\n</details>"
