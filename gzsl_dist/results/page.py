"""A report as one self-contained page: readable on a phone, in the dark, and by a screen reader."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape

from gzsl_dist.results import class_pictures, curves, tables
from gzsl_dist.results.html import (
    figure,
    figures,
    folded,
    html_table,
    page,
    section,
    text,
)
from gzsl_dist.results.repeat import repeat_command
from gzsl_dist.results.runs import Group, notes
from gzsl_dist.results.svg import picture
from gzsl_dist.results.table import Table

Section = tuple[str, str, list[str]]
"""Its name in links, its title, its HTML parts."""


def html_report(groups: Sequence[Group]) -> str:
    """The page: tables and pictures inside, nothing fetched."""
    sections = [
        found
        for found in (
            _results(groups),
            _curves(groups),
            _losses(groups),
            _classes(groups),
            _confusion(groups),
            _overlap(groups),
            _settings(groups),
            _repeat(groups),
        )
        if found[2]
    ]
    runs = sum(len(group.runs) for group in groups)
    data = ", ".join(dict.fromkeys(group.data_name for group in groups))
    links = "".join(
        f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in sections
    )
    header = "\n".join(
        [
            f"<p>{runs} run{'s' if runs > 1 else ''} on {escape(data)}. Figures are of the "
            "official test rows, measured once, after the end of training.</p>",
            *(f'<p class="note" role="note">{text(note)}</p>' for note in notes(groups)),
            f'<nav aria-label="Contents"><ul>{links}</ul></nav>',
        ]
    )
    methods = ", ".join(dict.fromkeys(group.runs[0].config.method for group in groups))
    body = "\n".join(section(*found) for found in sections)
    return page(f"Generalized zero-shot learning: {methods} on {data}", header, body)


def _shown(found: Sequence[Table | None]) -> list[str]:
    return [html_table(table) for table in found if table is not None and table.rows]


def _results(groups: Sequence[Group]) -> Section:
    return "results", "Results", _shown([tables.results(groups), tables.every_run(groups)])


def _curves(groups: Sequence[Group]) -> Section:
    found = [
        figure(
            picture("curves", curves.curves_text(groups), partial(curves.seen_unseen, groups)),
            "Seen-unseen curves on test rows: what every calibration factor would give. Dot: with "
            "the factor that validation classes chose; cross: without.",
        )
    ]
    told = curves.validation_text(groups)
    if told:
        drawing = picture("validation", told, partial(curves.validation, groups))
        found.append(
            figure(
                drawing,
                "H on validation classes while training without them, at the factor best for them.",
            )
        )
    return "curves", "Seen-unseen curves", [figures(found)]


def _losses(groups: Sequence[Group]) -> Section:
    parts = []
    totals = []
    for side, called in curves.SIDES.items():
        told = curves.losses_text(groups, side)
        if told:
            drawing = picture(
                f"loss-{side}",
                told,
                partial(curves.losses, groups, side),
            )
            totals.append(figure(drawing, f"Total loss, {called}, a line a run."))
    if totals:
        parts.append(
            "<p>Methods have different losses: read each one's course, not which is lower.</p>"
        )
        parts.append(figures(totals))
    single = [
        figure(
            picture(
                f"parts-{number}",
                curves.loss_parts_text(group),
                partial(curves.loss_parts, group),
            ),
            f"{group.name}, seed {group.runs[0].result.seed}: parts of both sides' losses, before "
            "weighting.",
        )
        for number, group in enumerate(groups)
        if curves.parts_of_loss(group)
    ]
    if single:
        parts.append(folded("Losses by part", [figures(single)]))
    return "losses", "Losses", parts


def _classes(groups: Sequence[Group]) -> Section:
    parts, drawings, whole = [], [], []
    for side in ("unseen", "seen"):
        parts += _shown([tables.best_and_worst(groups, side)])
        drawing = picture(
            f"classes-{side}",
            class_pictures.class_spread_text(groups, side),
            partial(class_pictures.class_spread, groups, side),
        )
        drawings.append(figure(drawing, f"Top-1 of each {side} class, from the best to the worst."))
        for data in dict.fromkeys(group.data for group in groups):
            whole += _shown([tables.all_classes([g for g in groups if g.data == data], side)])
    parts.append(figures(drawings))
    if whole:
        parts.append(folded("All classes", whole))
    return "classes", "Classes", parts


def _confusion(groups: Sequence[Group]) -> Section:
    parts = _shown([tables.most_confused(groups)])
    drawings = [
        figure(
            picture(
                f"confusion-{number}",
                class_pictures.confusion_text(group),
                partial(class_pictures.confusion, group),
            ),
            f"{group.name}: share of each unseen class's rows (line) by the unseen class that they "
            f"were taken for (column); stronger is more"
            + (
                f"; the {class_pictures.MOST_CELLS} classes least often right."
                if len(group.runs[0].result.per_class["unseen"]) > class_pictures.MOST_CELLS
                else "."
            ),
        )
        for number, group in enumerate(groups)
        if tables.confusion_shares(group)
    ]
    return (
        "confusion",
        "Confusion among unseen classes",
        [*parts, figures(drawings)] if parts else [],
    )


def _overlap(groups: Sequence[Group]) -> Section:
    found = tables.separation(groups)
    if found is None:
        return "overlap", "Overlap", []
    drawings = [
        figure(
            picture(
                f"similarities-{number}",
                class_pictures.similarities_text(group),
                partial(class_pictures.similarities, group),
            ),
            f"{group.name}, in {tables.spaces_of(group)[0]}: shares of pairs of rows by "
            "similarity, mean over seeds. The less the two overlap, the better classes keep apart.",
        )
        for number, group in enumerate(groups)
        if tables.spaces_of(group)
    ]
    return "overlap", "Do classes overlap?", [figures(drawings), *_shown([found])]


def _settings(groups: Sequence[Group]) -> Section:
    found = tables.settings(groups)
    parts = _shown([found]) if found else ["<p>All settings of the runs are equal.</p>"]
    return "settings", "Settings that differ", parts


def _repeat(groups: Sequence[Group]) -> Section:
    parts = [
        "<p>One command a run, with every setting that is not the default. The data file must be "
        "the same: the fingerprint tells.</p>",
        *_shown([tables.versions(groups)]),
    ]
    for group in groups:
        for run in group.runs:
            parts.append(
                f"<h3>{escape(run.name)}</h3>\n"
                f"<pre><code>{escape(repeat_command(run))}</code></pre>"
            )
    return "repeat", "Each run again", parts
