"""Pictures as SVG inside a page: they take the page's colours and font, and are read out."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"
"""Stands for the text's colour, which a dark page has bright."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "legend.framealpha": 0, "legend.edgecolor": "none",
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": "medium",
    "grid.color": "#808080", "axes.unicode_minus": True,
    "text.parse_math": False,  # the names of classes and runs may hold $
}  # fmt: skip


def picture(name: str, alt: str, draw: Callable[[], Figure]) -> str:
    """An ``<svg>`` element.

    Args:
        name: unlike that of any other picture of the page; marks the element's inner names.
        alt: what the picture shows, for those who do not see it.
        draw: makes the figure; called under `STYLE`.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        draw().savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "",
                  text, flags=re.DOTALL)  # fmt: skip
    head, body = text[text.index("<svg") :].split(">", 1)
    found = re.search(r'viewBox="[^"]*"', head)
    size = found[0] if found else ""
    body = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", body)
    body = body.replace("xlink:href", "href").replace(INK, "currentColor")
    body = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"\n\s*", "\n", body)
    return f'<svg {size} role="img" aria-label="{escape(alt, quote=True)}">{body.strip()}'
