"""A self-contained page: readable on a phone, in the dark, and by a screen reader.

What stands on it is in the folder ``templates``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from gzsl_dist.results import class_pictures, class_tables, curves, tables
from gzsl_dist.results.groups import Group, Run
from gzsl_dist.results.picture import Picture, study_picture
from gzsl_dist.results.repeat import repeat_command
from gzsl_dist.results.runs import Finished, notes


def html_report(groups: Sequence[Finished]) -> str:
    """Finished runs: tables and pictures inside, nothing fetched."""

    def each(make: Callable[[int, Finished], Picture | None]) -> list[Picture | None]:
        return [make(number, group) for number, group in enumerate(groups)]

    runs = sum(len(group.runs) for group in groups)
    data = ", ".join(dict.fromkeys(group.data for group in groups))
    methods = ", ".join(dict.fromkeys(group.method for group in groups))
    return _page(
        "report.html",
        title=f"Generalized zero-shot learning: {methods} on {data}",
        intro=f"{runs} run{'s' if runs > 1 else ''} on {data}. Figures are of the test rows, "
        "measured once, after the end of training.",
        notes=notes(groups),
        groups=groups,
        each=each,
        tables=tables,
        class_tables=class_tables,
        curves=curves,
        class_pictures=class_pictures,
        repeat_command=repeat_command,
    )


def html_study(groups: Sequence[Group[Run]], title: str, notes: Sequence[str]) -> str:
    """A sweep: its tables and a picture of them."""
    return _page(
        "study.html",
        title=title,
        intro="",
        notes=notes,
        study=tables.study(groups),
        paired=tables.paired(groups),
        separability=tables.separability(groups),
        picture=study_picture(groups),
    )


def _page(template: str, **context: Any) -> str:
    environment = Environment(
        loader=PackageLoader("gzsl_dist.results"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["words"] = words
    return environment.get_template(template).render(context)


def words(text: str) -> Markup:
    """Plain words as HTML; what stands in backticks is code. Long names may break at _ and dots."""

    def code(found: re.Match[str]) -> str:
        return f"<code>{re.sub(r'[.](?=[a-z])', '.<wbr>', found[1])}</code>"

    whole = re.sub(r"`([^`]+)`", code, str(escape(text)))
    return Markup(re.sub(r"_(?=\w)", "_<wbr>", whole))
