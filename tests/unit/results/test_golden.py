"""Figures that are committed in docs/results give the tables that are committed beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gzsl_dist.results.collect import ranked
from gzsl_dist.results.forms import markdown_study
from gzsl_dist.results.groups import from_json, to_json
from gzsl_dist.sweeps.plan import read_sweep

ROOT = Path(__file__).parents[3]
TABLES = sorted((ROOT / "docs" / "results").glob("*.md"))


@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.stem)
def test_tables_of_the_studies_are_the_same_to_the_byte(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    text = file.with_suffix(".json").read_text(encoding="utf-8")
    tasks = read_sweep(Path("configs", "studies", f"{file.stem}.yaml"))
    planned = len({task.seed for task in tasks})
    groups = [replace(group, planned=planned) for group in from_json(text)]
    assert to_json(groups) == text
    if groups[0].searches:
        groups = ranked(groups, tasks[0].config.evaluation.criterion)
    assert markdown_study(groups) == file.read_text(encoding="utf-8")


def test_there_are_tables() -> None:
    assert len(TABLES) >= 5
