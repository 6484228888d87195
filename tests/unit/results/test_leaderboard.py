"""The leaderboard's page: the right figures in the right cells, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gzsl_dist.errors import InputError
from gzsl_dist.leaderboard import main

H = {"a": [0.50, 0.52, 0.54], "b": [0.40, 0.43, 0.43]}


def runs(values: list[float], **more: float) -> dict[str, Any]:
    return {
        str(seed): {"U": h, "S": h, "H": h, "T1": 2 * h - 0.3, "AUSUC": h / 2, "raw_H": h / 4,
                    "seconds": 100 + seed, **more}
        for seed, h in enumerate(values)
    }  # fmt: skip


def group(data: str, method: str, found: dict[str, Any], **settings: str) -> dict[str, Any]:
    return {"data": data, "method": method, "settings": settings, "runs": found}


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    one = [
        group("birds", "iapc", runs(H["a"], oracle_H=0.7), anchor="ridge", factor="1"),
        group("birds", "iapc", runs(H["b"]), factor="1"),
        group("birds", "ridge", {}),
    ]
    other = [group("shops", "iapc", runs(H["b"][:1]))]
    for name, content in (("study_birds", one), ("study_shops", other)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return [str(tmp_path / "study_birds.json"), str(tmp_path / "study_shops.json")]


def table(text: str, title: str) -> list[list[str]]:
    part = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_figures_are_in_their_cells(files: list[str], tmp_path: Path) -> None:
    out, picture = tmp_path / "page.md", tmp_path / "page.png"
    assert main([*files, "--out", str(out), "--picture", str(picture)]) == 0
    text = out.read_text()
    head, _, first, second = table(text, "birds")
    ours, theirs = (dict(zip(head, row, strict=True)) for row in (first, second))
    assert ours["method"] == "`iapc, anchor ridge`"
    assert theirs["method"] == "`iapc`"
    values = 100 * np.array(H["a"])
    width = stats.t.ppf(0.975, 2) * values.std(ddof=1) / 3**0.5
    assert ours["H"] == f"{values.mean():.1f} ± {width:.1f}"
    assert ours["AUSUC"] == f"{values.mean() / 2:.1f} ± {width / 2:.1f}"
    assert ours["uncalibrated H"].startswith(f"{values.mean() / 4:.1f}")
    assert (ours["H, optimistic"], theirs["H, optimistic"]) == ("70.0 ± 0.0", "–")
    assert (ours["seconds"], ours["seeds"]) == ("101", "3")
    differences = 100 * (np.array(H["a"]) - np.array(H["b"]))
    width = stats.t.ppf(0.975, 2) * differences.std(ddof=1) / 3**0.5
    assert theirs["H, first row less this"] == f"{differences.mean():+.1f} ± {width:.1f} *"
    assert ours["H, first row less this"] == "–"
    assert "run configs/studies/study_birds.yaml  # iapc, anchor ridge; iapc\n" in text
    assert "| `iapc` | 21.0 ± 2.2 | 20.0 |" in text, "the table of all problems; one seed, no width"
    assert "`ridge`" not in text, "nothing was run"
    assert picture.read_bytes().startswith(b"\x89PNG")


ROOT = Path(__file__).parents[3]
RUNS = {"0": dict.fromkeys(("U", "S", "H", "T1", "AUSUC"), 0.5)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not what"),
        ('{"a": 1}', "not what"),
        ('[{"data": "d", "method": "m", "settings": {}, "runs": {"0": {"H": 1}}}]', "a search"),
        ("[]", "no run is in them"),
        ((ROOT / "docs/results/cub_sent_search.json").read_text(), "a search, not a study"),
        (json.dumps(2 * [{"data": "d", "method": "m", "settings": {}, "runs": RUNS}]), "m on d is"),
    ],
)
def test_other_files_are_refused(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        main([str(file), "--out", str(tmp_path / "page.md")])


def test_of_a_method_in_two_studies_the_first_file_counts(files: list[str], tmp_path: Path) -> None:
    again = json.loads(Path(files[0]).read_text())
    for group in again:
        group["runs"] = {
            seed: run | dict.fromkeys(("U", "S", "H", "T1", "AUSUC"), 0.125)
            for seed, run in group["runs"].items()
        }
    other = tmp_path / "again.json"
    other.write_text(json.dumps(again))
    pages = []
    for order in ([*files, other], [other, *files]):
        assert main([*map(str, order), "--out", str(tmp_path / "page.md")]) == 0
        pages.append((tmp_path / "page.md").read_text())
    assert "12.5" not in pages[0]
    assert "12.5 ± 0.0" in pages[1]


def test_a_file_named_twice_a_missing_one_and_a_wrong_ending_are_refused(
    files: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="twice"):
        main([files[0], files[0], "--out", str(tmp_path / "page.md")])
    with pytest.raises(InputError, match="cannot be read"):
        main([str(tmp_path / "none.json"), "--out", str(tmp_path / "page.md")])
    with pytest.raises(InputError, match=r"must end in \.md"):
        main([*files, "--out", str(tmp_path / "page.html")])
