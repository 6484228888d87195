"""Reports of finished runs: a Markdown table, or one self-contained HTML page with figures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from gzsl_dist.evaluation.result import Result
from gzsl_dist.monitoring.figures import run_figure
from gzsl_dist.monitoring.logbook import read_metrics

COLUMNS = (
    "run", "method", "data set", "U", "S", "H", "T1", "AUSUC", "raw U", "raw S", "raw H",
    "steps", "seed", "processes",
)  # fmt: skip

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>gzsl_dist report</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem;
        padding: 0 1rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3rem .7rem; border-bottom: 1px solid #8886; text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }}
img {{ max-width: 100%; background: white; }}
</style>
</head>
<body>
<h1>Generalized zero-shot learning runs</h1>
<p>Accuracies in percent on the official test rows, read once at the end of training. U, S, H are
calibrated with the factor that validation classes chose; raw ones are not.</p>
<div class="wide"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table></div>
<p><img alt="Seen-unseen curves on test rows, H on validation classes over training steps, and
losses over training steps, of all runs." src="data:image/png;base64,{figure}"></p>
</body>
</html>
"""


def table_rows(runs: Sequence[Path], results: Sequence[Result]) -> list[list[str]]:
    """One row of text a run, in the order of `COLUMNS`."""
    rows = []
    for run, result in zip(runs, results, strict=True):
        figures = [result.U, result.S, result.H, result.T1, result.AUSUC]
        figures += [result.raw["U"], result.raw["S"], result.raw["H"]]
        rows.append(
            [run.name, result.method, result.dataset["name"]]
            + [f"{100 * figure:.1f}" for figure in figures]
            + [str(result.steps), str(result.seed), str(result.world_size)]
        )
    return rows


def markdown_report(runs: Sequence[Path], results: Sequence[Result]) -> str:
    """A Markdown table."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *table_rows(runs, results)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def report_figure(runs: Sequence[Path], results: Sequence[Result]) -> bytes:
    """Seen-unseen curves, validation H and losses of the runs, as PNG."""
    return run_figure(
        [run.name for run in runs],
        results,
        [read_metrics(run / "metrics.jsonl") for run in runs],
        [read_metrics(run / "selection" / "metrics.jsonl") for run in runs],
    )


def html_report(runs: Sequence[Path], results: Sequence[Result]) -> str:
    """One page with the table and the figure inside."""
    figure = report_figure(runs, results)
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in COLUMNS)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table_rows(runs, results)
    )
    return PAGE.format(head=head, body=body, figure=base64.b64encode(figure).decode())
