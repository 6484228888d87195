"""What TensorBoard shows beside scalars: its order, histograms, pictures, embeddings, hparams."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gzsl_dist.config import Config
from gzsl_dist.config.nested import flat
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.evaluation.metrics import ScoredRows, seen_unseen_curve
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.monitoring.callback import Training
from gzsl_dist.monitoring.diagnostics import Diagnostics, plane
from gzsl_dist.run.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter

MOST_CLASSES = 100
"""Of the confusion picture: drawing the names of many more takes minutes."""


def layout(training: Training) -> dict[str, dict[str, tuple[str, list[str]]]]:
    """What TensorBoard's custom scalars show of a training, in this order.

    A chart has one line, which its title names: TensorBoard draws several lines of a run in one
    color and hides their names.
    """
    validated = training.title.startswith("selection")
    weighted = [
        name.removeprefix("loss.").replace(".", "/")
        for name, value in training.settings.items()
        if name.startswith(("loss.critic.", "loss.generator.")) and value
    ]
    own = ["critic/wasserstein", "critic/gradient_penalty", "generator/adversarial"]
    losses = ["critic/total", "generator/total", *sorted(own + weighted)]
    sides = ("seen", "unseen") if validated else ("seen",)
    pairs = [f"{kind}_{side}" for side in sides for kind in ("real", "synthetic")]
    tags = {
        "1 accuracy on validation classes": [
            f"validation/{name}" for name in ("H", "U", "S", "T1", "AUSUC") if validated
        ],
        "2 losses": [
            *(f"{name}_loss" for name in losses),
            "critic/wasserstein_estimate",
            "critic/gradient_norm",
        ],
        "3 has the generator collapsed? a diversity of 1 is that of real rows": [
            f"synthetic/{name}_{side}"
            for name in ("diversity", "mean_distance", "frechet")
            for side in sides
        ],
        "4 do classes overlap?": [
            *(f"similarity/{name}_{pair}" for name in ("overlap", "gap") for pair in pairs),
            *(f"prototypes/nearest_{name}" for name in ("pair", "mean")),
            *(f"weights/{name}_mean" for name in ("positive", "negative")),
        ],
        "5 speed": [
            "throughput/rows_per_second",
            "throughput/peak_share",
            "step_time/whole",
            "memory/peak_gigabytes",
        ],
    }
    return {
        title: {tag.replace("/", ": ").replace("_", " "): ("Multiline", [f"{tag}$"]) for tag in of}
        for title, of in tags.items()
        if of
    }


def draw(pictures: Callable[[], None], processes: DistributedContext) -> None:
    """Let the first process make pictures, for which no other one waits; a failure is one line.

    A run must not fail for what can be drawn again from its figures.
    """
    if not processes.is_main_process:
        return
    try:
        pictures()
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"warning: a picture cannot be made ({reason[:200]})", file=sys.stderr, flush=True)


def show_histograms(board: SummaryWriter, step: int, found: Diagnostics) -> None:
    """Similarities and weights; scalars are logged with the step's other numbers."""
    for name, values in found.histograms.items():
        if len(values):
            board.add_histogram(name, values, step)


def show_projection(board: SummaryWriter, step: int, found: Diagnostics) -> None:
    """A picture of all embeddings."""
    if found.embeddings:
        board.add_figure("embeddings/projection", projection(found), step)


def show_scores(
    board: SummaryWriter, step: int, seen: ScoredRows, unseen: ScoredRows, names: Sequence[str]
) -> None:
    """The seen-unseen curve and the confusion among unseen classes, where there are rows."""
    if len(seen.labels) and len(unseen.labels):
        board.add_figure("accuracy/seen_unseen_curve", curve_figure(seen, unseen), step)
    if len(unseen.labels):
        board.add_figure("accuracy/unseen_confusion", confusion_figure(unseen, names), step)


def show_projector(
    board: SummaryWriter, step: int, found: Diagnostics, names: Sequence[str]
) -> None:
    """All embeddings for TensorBoard's projector, with class names and kinds."""
    if not found.embeddings:
        return
    rows: list[list[str]] = []
    for kind, (_, labels) in found.embeddings.items():
        rows += [[names[label], kind] for label in labels.tolist()]
    board.add_embedding(
        torch.cat([embedded for embedded, _ in found.embeddings.values()]),
        metadata=rows,
        metadata_header=["class", "kind"],
        global_step=step,
        tag="embeddings",
    )


def show_result(
    folder: Path, config: Config, result: Result, scored: ScoredProblem, names: Sequence[str]
) -> None:
    """The figures on test rows: curve, confusion, and the settings that gave them (hparams)."""
    from torch.utils.tensorboard import SummaryWriter

    plain = (bool, int, float, str)
    settings = {
        name: value if isinstance(value, plain) else str(value)
        for name, value in flat(config.model_dump()).items()
    }
    with SummaryWriter(str(folder)) as board:  # the training's entry, not one of its own
        finals = {f"result/{name}": value for name, value in result.figures.items()}
        board.add_hparams(settings, finals, run_name=".", global_step=result.steps)
        if result.note:
            board.add_text("result/note", result.note, result.steps)
        show_scores(board, result.steps, scored.seen, scored.unseen, names)


def projection(found: Diagnostics) -> Figure:
    """Embeddings on their first two principal components; a colour for each of ten classes."""
    from matplotlib.figure import Figure

    sides = [s for s in (" seen", " unseen") if any(k.endswith(s) for k in found.embeddings)]
    figure = Figure(figsize=(6 * len(sides), 5), layout="constrained")
    for axes, side in zip(figure.subplots(1, len(sides), squeeze=False)[0], sides, strict=True):
        groups = {kind: group for kind, group in found.embeddings.items() if kind.endswith(side)}
        points = plane(torch.cat([embedded for embedded, _ in groups.values()]))
        first = 0
        for kind, (_, labels) in groups.items():
            some = torch.unique(labels)[:10]
            own = points[first : first + len(labels)]
            first += len(labels)
            for color, label in enumerate(some):
                chosen = (labels == label).numpy()
                marker = {"marker": "o"} if kind.startswith("real") else {"marker": "x"}
                axes.scatter(*own[chosen].T, s=14, color=f"C{color}", **marker)
        axes.set(title=f"{side} classes: ● real × synthetic", xticks=[], yticks=[])
    return figure


def curve_figure(seen: ScoredRows, unseen: ScoredRows) -> Figure:
    """S over U along the calibration factor."""
    from matplotlib.figure import Figure

    curve = seen_unseen_curve(seen, unseen)
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(100 * curve.unseen, 100 * curve.seen)
    title = f"seen-unseen curve, AUSUC {100 * curve.area:.1f} %"
    axes.set(xlabel="U, %", ylabel="S, %", title=title)
    axes.grid(alpha=0.3)
    return figure


def confusion_figure(unseen: ScoredRows, names: Sequence[str]) -> Figure:
    """Shares of each unseen class's rows by the unseen class they were taken for.

    Of more than `MOST_CLASSES` classes, those that are least often right.
    """
    from matplotlib.figure import Figure
    from sklearn.metrics import confusion_matrix

    present, counts = np.unique(unseen.labels, return_counts=True)
    table = confusion_matrix(unseen.labels, unseen.best_unseen, labels=present) / counts[:, None]
    kept = np.sort(np.argsort(table.diagonal(), kind="stable")[:MOST_CLASSES])
    table, classes = table[np.ix_(kept, kept)], present[kept]
    figure = Figure(figsize=(8, 8), layout="constrained")
    axes = figure.subplots()
    axes.imshow(table, vmin=0, vmax=1, cmap="viridis")
    labels = [names[number] for number in classes]
    size = max(3, min(9, 300 // max(len(classes), 1)))
    plain: dict[str, Any] = {"fontsize": size, "parse_math": False}  # a name may hold $
    axes.set_xticks(range(len(classes)), labels, rotation=90, **plain)
    axes.set_yticks(range(len(classes)), labels, **plain)
    part = "" if len(classes) == len(present) else f", the worst {len(classes)} of {len(present)}"
    axes.set(xlabel="predicted as", ylabel="unseen class", title=f"among unseen classes{part}")
    return figure
