"""Reports of real small runs: their figures are those of result.json, and all can be read."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from gzsl_dist.config import Config, yaml_text
from gzsl_dist.config.command_line import add_setting_arguments, config_from_arguments
from gzsl_dist.config.files import read_run_config
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.distributed.choose_strategy import choose_strategy
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.experiment import run as whole_run
from gzsl_dist.experiment.run_directory import open_run_directory
from gzsl_dist.report import main
from gzsl_dist.results.repeat import repeat_command
from gzsl_dist.results.runs import group_runs, read_runs
from gzsl_dist.results.statistics import Estimate
from gzsl_dist.results.table import escaped
from gzsl_dist.sweeps.plan import read_sweep
from gzsl_dist.training.stop_signal import StopSignal

VOID = {"meta", "img", "wbr"}


def train(directory: Path, dataset: Dataset, method: str = "iapc", **settings: Any) -> Path:
    import torch

    sizes = dict.fromkeys(
        ("generator_hidden", "critic_hidden", "embedding_dim", "comparator_hidden"), 16
    )
    config = Config.model_validate(
        {
            "method": method,
            "run": {"dir": str(directory)},
            "model": {**sizes, "noise_dim": 8, "projection_dim": 16, "prototype_hidden": 16},
            "train": {"steps": 4, "batch_size": 32, "critic_steps": 1, **settings},
            "log": {"every": 1},
            "evaluation": {
                "every": 4, "rows_per_class": 10, "iterations": 10,
                "calibration": "none" if method == "wgan" else "validation",
            },
        }
    )  # fmt: skip
    alone = DistributedContext(0, 1, torch.device("cpu"), quiet=True)
    strategy = choose_strategy(config.train, alone)
    place = open_run_directory(config, alone)
    whole_run.finish(dataset, config, alone, strategy, place, StopSignal(), time.monotonic())
    return directory


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two seeds of iapc, one of wgan, a baseline, and a run on other data."""
    folder, digits = tmp_path_factory.mktemp("runs"), digits_dataset()
    kept = np.random.default_rng(0).permutation(digits.splits["trainval"])[:-7]
    other = dataclasses.replace(
        digits, name="fewer <digits>", splits={**digits.splits, "trainval": np.sort(kept)}
    )
    return {
        "iapc-0": train(folder / "iapc-0", digits),
        "iapc-1": train(folder / "iapc-1", digits, seed=1),
        "wgan-0": train(folder / "wgan-0", digits, "wgan"),
        "ridge": train(folder / "ridge", digits, "ridge"),
        "other": train(folder / "other", other, "wgan"),
    }


def alike(runs: dict[str, Path]) -> list[Path]:
    return [path for name, path in runs.items() if name != "other"]


def report(runs: list[Path], out: Path, *options: str) -> str:
    assert main([*map(str, runs), "--out", str(out), *options]) == 0
    return out.read_text()


class Page(HTMLParser):
    """Elements, tables as rows of (tag, text, scope), and whatever is wrong."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[tuple[str, str, str | None]]]] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.elements.append((tag, values))
        if tag not in VOID:
            self.open.append(tag)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append((tag, "", values.get("scope")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "th" in self.open or "td" in self.open:
            tag, text, scope = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = (tag, text + data, scope)

    def row(self, table: int, name: str) -> dict[str, str]:
        head, *rows = self.tables[table]
        (found,) = [row for row in rows if row[0][1] == name]
        return {column[1]: cell[1] for column, cell in zip(head, found, strict=True)}


@pytest.fixture(scope="module")
def page(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str]:
    text = report(alike(runs), tmp_path_factory.mktemp("page") / "report.html")
    return Page(text), text


def result(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "result.json").read_text())
    return found


def test_figures_of_a_run_are_those_of_its_result(
    runs: dict[str, Path], page: tuple[Page, str]
) -> None:
    for path in alike(runs):
        row, expected = page[0].row(1, path.name), result(path)
        for name in ("U", "S", "H", "T1", "AUSUC"):
            assert row[name] == f"{100 * expected[name]:.1f}"
        for name in ("U", "S", "H"):
            assert row[f"uncalibrated {name}"] == f"{100 * expected['raw'][name]:.1f}"
        assert row["steps"] == str(expected["steps"])


def test_a_method_has_mean_and_interval_over_seeds(
    runs: dict[str, Path], page: tuple[Page, str]
) -> None:
    row = page[0].row(0, "iapc")
    assert row["seeds"] == "0, 1"
    for name in ("U", "S", "H", "T1", "AUSUC"):
        values = [100 * result(runs[f"iapc-{seed}"])[name] for seed in (0, 1)]
        half = scipy.stats.sem(values) * scipy.stats.t.ppf(0.975, 1)
        assert row[name] == f"{np.mean(values):.1f}" + (f" ± {half:.1f}" if half <= 25 else " ± ?")
    assert "±" not in page[0].row(0, "wgan")["H"]


def test_what_the_page_shows_of_classes_and_overlap(
    runs: dict[str, Path], page: tuple[Page, str]
) -> None:
    unseen = result(runs["wgan-0"])["per_class"]["unseen"]
    best = max(unseen.values())
    assert page[0].row(2, "best 1")["wgan"] in {
        f"{name}: {100 * value:.1f}" for name, value in unseen.items() if value == best
    }
    measured = json.loads((runs["wgan-0"] / "representation.json").read_text())
    expected = measured["groups"]["synthetic unseen"]["x"]
    tables = [table for table in page[0].tables if "silhouette" in {cell[1] for cell in table[0]}]
    (row,) = [
        [cell[1] for cell in row]
        for row in tables[0]
        if [cell[1] for cell in row][:4] == ["digits", "synthetic", "x", "wgan"]
    ]
    names = ("margin", "overlap", "silhouette", "map_at_r", "nmi")
    assert [cell.split()[0] for cell in row[4:]] == [f"{100 * expected[n]:.1f}" for n in names]


def test_a_confused_pair_is_that_of_the_counts(
    runs: dict[str, Path], page: tuple[Page, str]
) -> None:
    found = json.loads((runs["wgan-0"] / "confusion.json").read_text())
    share = max(
        count / found["rows"][true] for true, taken, count in found["among_unseen"] if true != taken
    )
    (table,) = [t for t in page[0].tables if any(" as " in cell[1] for row in t for cell in row)]
    column = [cell[1] for cell in table[0]].index("wgan")
    assert table[1][column][1].endswith(f": {100 * share:.0f}")


def test_every_picture_is_told_and_every_table_has_headers(page: tuple[Page, str]) -> None:
    pictures = [attrs for tag, attrs in page[0].elements if tag == "svg"]
    assert len(pictures) >= 10
    for attrs in pictures:
        assert attrs["role"] == "img"
        assert len(attrs["aria-label"] or "") > 40
    labels = [attrs["aria-label"] for attrs in pictures]
    assert len(set(labels)) == len(labels)
    assert not [tag for tag, attrs in page[0].elements if tag == "img" and not attrs.get("alt")]
    for head, *rows in page[0].tables:
        assert all((tag, scope) == ("th", "col") for tag, _, scope in head)
        for row in rows:
            assert (row[0][0], row[0][2]) == ("th", "row")
            assert len(row) == len(head)
    assert [tag for tag, _ in page[0].elements].count("caption") == len(page[0].tables)
    assert len(set(page[0].ids)) == len(page[0].ids)


def test_the_page_fetches_nothing(page: tuple[Page, str]) -> None:
    parsed, text = page
    for tag, attrs in parsed.elements:
        assert tag not in ("script", "link", "iframe")
        for name in ("src", "href"):
            if name in attrs:
                assert str(attrs[name]).startswith(("#", "data:"))
                if str(attrs[name]).startswith("#"):
                    assert str(attrs[name])[1:] in parsed.ids
    assert "http" not in text
    assert "url(#" in text
    for target in re.findall(r"url\(([^)]*)\)", text):
        assert target.removeprefix("#") in parsed.ids
    assert "@import" not in text


def test_the_page_is_dark_in_the_dark(page: tuple[Page, str]) -> None:
    assert "prefers-color-scheme: dark" in page[1]
    assert "currentColor" in page[1]
    assert "#010203" not in page[1]
    assert "viewport" in page[1]


def test_different_data_sets_are_said(
    runs: dict[str, Path],
    page: tuple[Page, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = [runs["wgan-0"], runs["other"]]
    text = report(chosen, tmp_path / "r.html")
    assert "These runs are of 2 different data sets" in capsys.readouterr().out
    assert 'class="note" role="note">These runs are of 2 different data sets' in text
    assert "fewer &lt;digits&gt;" in text
    assert "<digits>" not in text
    found = Page(text)
    assert found.row(0, "wgan on digits")["H"] == f"{100 * result(runs['wgan-0'])['H']:.1f}"
    assert found.row(0, "wgan on fewer <digits>")["H"] == f"{100 * result(runs['other'])['H']:.1f}"
    for form in ("md", "tex"):
        assert "2 different data sets" in report(chosen, tmp_path / f"r.{form}")
    assert "different data sets" not in page[1]


def test_markdown_and_latex_have_the_figures(runs: dict[str, Path], tmp_path: Path) -> None:
    values = [100 * result(runs[f"iapc-{seed}"])["H"] for seed in (0, 1)]
    h = str(Estimate.of([value / 100 for value in values]))
    text = report(alike(runs), tmp_path / "r.txt", "--format", "md")
    assert f"| {h} |" in text
    assert f"| {100 * result(runs['wgan-0'])['T1']:.1f} |" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in lines)
    latex = report(alike(runs), tmp_path / "r.tex")
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len(body) == 1 + 3
    assert {line.count(" & ") for line in body} == {9}
    assert f"& {escaped(h)} &" in latex
    assert escaped("a_b & 5 %") == r"a\_b \& 5 \%"


def test_runs_may_be_named_by_run_as_in_other_commands(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other, *_ = (str(path) for path in runs.values())
    assert main([one, "--run", other, "--out", str(tmp_path / "r.csv")]) == 0
    assert "2 run(s)" in capsys.readouterr().out
    with pytest.raises(InputError, match="no run given"):
        main(["--out", str(tmp_path / "r.csv")])


def test_csv_has_a_line_a_run(runs: dict[str, Path], tmp_path: Path) -> None:
    report(list(runs.values()), tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(newline="") as file:
        lines = {line["run"]: line for line in csv.DictReader(file)}
    assert set(lines) == set(runs)
    for name, path in runs.items():
        line, expected = lines[name], result(path)
        assert (line["method"], int(line["seed"])) == (expected["method"], expected["seed"])
        assert line["data"] == expected["dataset"]["name"]
        assert float(line["factor"]) == expected["calibration"]["factor"]
        for figure in ("U", "S", "H", "T1", "AUSUC", "seconds"):
            assert float(line[figure]) == expected[figure]
        assert float(line["raw_H"]) == expected["raw"]["H"]
    assert lines["iapc-0"]["evaluation.calibration"] == "validation"
    assert lines["wgan-0"]["evaluation.calibration"] == "none"
    assert "train.batch_size" not in lines["ridge"], "all have the same"
    assert lines["ridge"]["synthetic_x_margin"] == "", "a baseline has no synthetic rows"


def test_a_sweep_file_stands_for_its_runs_that_are_done(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, config = tmp_path / "mine.yaml", tmp_path / "digits.yaml"
    config.write_text("method: wgan\n")
    text = f"data: {{digits: {{ours: {config}}}}}\nseeds: [0, 1]\ndir: {tmp_path / 'runs'}\n"
    file.write_text(text)
    with pytest.raises(InputError, match=r"no task is done; python -m gzsl_dist.sweep run"):
        main([str(file), "--out", str(tmp_path / "r.md")])
    shutil.copytree(runs["wgan-0"], read_sweep(file)[0].directory)
    table = report([file, runs["ridge"]], tmp_path / "r.md")
    assert f"mine.yaml: 1 of 2 tasks are not done\n{tmp_path}" in capsys.readouterr().out
    assert f"| ours | 0 | {100 * result(runs['wgan-0'])['U']:.1f} |" in table
    assert "| ridge | 0 |" in table
    file.write_text(f"{text}settings: {{evaluation.final: false}}\n")
    with pytest.raises(InputError, match=r"gzsl_dist.sweep collect .*mine.yaml ranks them"):
        main([str(file), "--out", str(tmp_path / "r.md")])


def test_png(runs: dict[str, Path], tmp_path: Path) -> None:
    assert main([*map(str, alike(runs)), "--out", str(tmp_path / "r.png")]) == 0
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_a_png_has_no_panel_of_what_a_run_lacks(runs: dict[str, Path], tmp_path: Path) -> None:
    import shutil
    import warnings

    import matplotlib.image

    whole, fixed = alike(runs)[0], tmp_path / "fixed"
    shutil.copytree(whole, fixed, ignore=shutil.ignore_patterns("selection"))
    widths = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as of an empty legend
        for run in (whole, fixed):
            assert main([str(run), "--out", str(tmp_path / "r.png")]) == 0
            widths.append(matplotlib.image.imread(tmp_path / "r.png").shape[1])
    assert widths[1] == pytest.approx(0.75 * widths[0], abs=2)


def settings_again(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the command that repeats a run asks for, and what the run had, but for its folder."""
    import argparse
    import shlex

    (read,) = read_runs([run])
    words = shlex.split(repeat_command(read))
    assert words[:3] == ["python", "-m", "gzsl_dist.train"]
    parser = argparse.ArgumentParser()
    add_setting_arguments(parser)
    config = config_from_arguments(*parser.parse_known_args(words[3:]))
    again, told = config.model_dump(), read_run_config(run).model_dump()
    assert again.pop("run") != told.pop("run")
    return again, told


def test_the_command_repeats_the_run(runs: dict[str, Path]) -> None:
    for path in runs.values():
        again, told = settings_again(path)
        assert again == told


def test_a_run_of_a_size_is_repeated_by_its_numbers(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["iapc-0"], tmp_path / "small")
    file = tmp_path / "small" / "config.yaml"
    values = yaml_text.load(file.read_text()) | {"size": "small"}
    values["data"]["path"] = "data/mine.h5"
    values["train"]["critic_steps"] = 5  # the default, which `small` would replace
    file.write_text(yaml_text.dump(values))
    again, told = settings_again(file.parent)
    assert again == told | {"size": None}


def test_runs_of_other_settings_are_another_group(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["iapc-1"], tmp_path / "wider")
    text = (tmp_path / "wider" / "config.yaml").read_text()
    (tmp_path / "wider" / "config.yaml").write_text(text.replace("noise_dim: 8", "noise_dim: 9"))
    shutil.copytree(runs["iapc-0"], tmp_path / "twin")
    chosen = [runs["iapc-0"], tmp_path / "twin", tmp_path / "wider"]
    first, second = group_runs(read_runs(chosen))
    assert first.name == "iapc (model.noise_dim 8)"
    assert second.name == "iapc (model.noise_dim 9)"
    h = first.estimate("H")
    assert h is not None
    assert np.isnan(h.half_width), "one seed twice is no interval"
    text = report(chosen, tmp_path / "r.md")
    assert "2 runs of 1 seed(s)" in text
    assert "| `model.noise_dim` | 8 | 9 |" in text


def test_a_run_without_details_is_said(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["wgan-0"], tmp_path / "old")
    for name in ("representation.json", "confusion.json"):
        (tmp_path / "old" / name).unlink()
    text = report([tmp_path / "old"], tmp_path / "r.html")
    assert "--details" in text
    assert "Do classes overlap" not in text


def test_a_run_without_result_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["wgan-0"], tmp_path / "unfinished")
    (tmp_path / "unfinished" / "result.json").unlink()
    with pytest.raises(InputError, match=r"unfinished/result.json: cannot be read .*; finish"):
        main([str(runs["iapc-0"]), str(tmp_path / "unfinished"), "--out", str(tmp_path / "r.html")])
    assert not (tmp_path / "r.html").exists()
    with pytest.raises(InputError, match="named twice"):
        main([str(runs["ridge"]), f"{runs['ridge']}/", "--out", str(tmp_path / "r.html")])
    with pytest.raises(
        InputError, match=r"must end in .html, .md, .tex, .png, .csv, or give --format"
    ):
        main([str(runs["ridge"]), "--out", str(tmp_path / "r.pdf")])
