"""Pictures: any class names, any number of classes, and no run that fails for one."""

from __future__ import annotations

import dataclasses
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure, FigureBase
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.evaluation.metrics import ScoredRows
from gzsl_dist.experiment import experiment
from gzsl_dist.monitoring import board, metric_logger
from gzsl_dist.monitoring.tables import print_result
from gzsl_dist.results.picture import Picture, one_axes
from gzsl_dist.run.metrics import read_metrics
from gzsl_dist.run.result import Result

from ..training.test_guard import ALONE, config, train

MATHEMATICS = "Ba$$in"
"""A name that matplotlib takes for mathematics, and cannot read."""


def scored(classes: int, wrong: int) -> ScoredRows:
    """Two rows of each class, right ones but for the second row of the first `wrong` classes."""
    labels = np.repeat(np.arange(classes), 2)
    predicted = labels.copy()
    predicted[1 : 2 * wrong : 2] = (labels[1 : 2 * wrong : 2] + 1) % classes
    return ScoredRows(labels, best_seen=0 * labels, best_unseen=predicted, lead=0.0 * labels)


def svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg")
    return text.getvalue()


def test_names_are_not_mathematics() -> None:
    figure = board.confusion_figure(scored(3, 1), [MATHEMATICS, "_^{", "$x$"])
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == [MATHEMATICS, "_^{", "$x$"]
    svg(figure)


def test_names_in_a_report_are_not_mathematics() -> None:
    def draw(figure: FigureBase) -> None:
        axes = one_axes(figure)
        axes.plot([0, 1], [0, 1], label=MATHEMATICS)
        axes.set_xticks([0, 1], [MATHEMATICS, "bird"])
        axes.legend()

    assert Picture("names", "names", "names", draw).svg().count(MATHEMATICS) == 2


def test_of_many_classes_the_worst_are_shown() -> None:
    names = [f"class {number}" for number in range(600)]
    axes = board.confusion_figure(scored(600, 30), names).axes[0]
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert len(ticks) == board.MOST_CLASSES
    assert ticks[:30] == names[:30]
    assert axes.get_title() == "among unseen classes, the worst 100 of 600"
    table = np.asarray(axes.images[0].get_array())
    assert table[0, 0] == table[0, 1] == 0.5
    assert table[99, 99] == 1


def test_a_run_with_such_a_class_ends_without_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = digits_dataset()
    names = tuple(f"{MATHEMATICS} {name}" for name in dataset.classes)
    train(dataclasses.replace(dataset, classes=names), config(tmp_path / "run"))
    assert "warning" not in capsys.readouterr().err


def test_what_cannot_be_drawn_is_one_line_and_the_result_is_there_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run" / "result.json"
    there: list[bool] = []

    def fail(*_: object) -> None:
        there.append(path.exists())
        raise ValueError("no\nfont")

    monkeypatch.setattr(experiment, "show_result", fail)
    monkeypatch.setattr(metric_logger, "show_scores", fail)
    result = train(digits_dataset(), config(tmp_path / "run"))
    assert Result.read(path) == result
    assert there == [False, True], "the last of three validations, and the end"
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert warnings == ["warning: a picture cannot be made (no font)"] * 2


def test_a_checkpoint_does_not_outlive_the_line_of_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power failure, metrics.jsonl must know each step that there is a checkpoint of."""
    synced: dict[Path, int] = {}
    checked: list[int] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if path.name == "metrics.jsonl":
            synced[path] = max((line["step"] for line in read_metrics(path)), default=0)
        fsync(handle)

    def note_replace(self: Path, target: Path) -> Path:
        if target.name.startswith("step-"):
            step = int(target.name.removeprefix("step-"))
            assert synced[target.parents[1] / "metrics.jsonl"] == step
            checked.append(step)
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    train(digits_dataset(), config(tmp_path / "run"))
    assert checked[:3] == [2, 4, 6]


def test_tensorboard_has_one_entry_a_training_and_each_chart_one_line(tmp_path: Path) -> None:
    """Whose name is the chart's title; H and U of the result are beside the settings."""
    train(digits_dataset(), config(tmp_path / "run"))
    folders = {path.parent for path in tmp_path.rglob("events.out.tfevents.*")}
    assert folders == {tmp_path / "run" / name for name in ("tensorboard", "selection/tensorboard")}
    for folder in folders:
        events = EventAccumulator(str(folder)).Reload()
        logged = events.Tags()["scalars"]
        proto = events.Tensors("custom_scalars__config__")[0].tensor_proto
        charts = [
            chart
            for category in Layout.FromString(proto.string_val[0]).category
            for chart in category.chart
        ]
        for chart in charts:
            shown = [tag for tag in logged if re.match(chart.multiline.tag[0], tag)]
            assert len(shown) == 1, chart
            assert re.sub("[/_]", " ", shown[0]) == chart.title.replace(":", "")
        titles = [chart.title for chart in charts]
        if "selection" in str(folder):
            assert titles[:3] == ["validation: H", "validation: U", "validation: S"]
        else:
            assert titles[:2] == ["critic: total loss", "generator: total loss"]
            assert {"result/H", "result/U"} <= set(logged)
            assert "_hparams_/session_start_info" in events.summary_metadata


@pytest.mark.parametrize(("method", "curves"), [("iapc", True), ("ridge", False)])
def test_curves_are_promised_where_there_are_any(
    method: str, curves: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Result(
        raw={}, calibration={"mode": "none", "factor": 0.0}, per_class={"seen": {}, "unseen": {}},
        curve={}, dataset={"name": "digits", "fingerprint": ""}, seed=0, method=method,
        strategy="single", world_size=1, steps=0, selection={}, seconds=0.0, versions={},
    )  # fmt: skip
    print_result(result, tmp_path, ALONE)
    promised = (
        f"curves: tensorboard --logdir {tmp_path}, then http://localhost:6006/#custom_scalars"
    )
    assert (promised in capsys.readouterr().out) == curves
