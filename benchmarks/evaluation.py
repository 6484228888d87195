"""Evaluation of a run beside the usual loop: seconds and figures of both, in one run.

    python benchmarks/evaluation.py --run RUN [--epochs 25] [--factors 100]

Both synthesize rows of unseen classes with the networks of RUN's selection, fit a softmax
classifier on them and on real rows, and measure U, S, H and AUSUC over calibration factors, on
*validation* classes. The usual loop is the GZSL repositories': rows synthesized with the class's
semantics repeated in each, Adam on mini-batches, and one pass over the test rows for each factor.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import scaling

if TYPE_CHECKING:
    from gzsl_dist.config import Config
    from gzsl_dist.data.problem import Problem
    from gzsl_dist.distributed.processes import DistributedContext
    from gzsl_dist.models.networks import Networks

T = TypeVar("T")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, type=Path, help="with a folder selection/")
    parser.add_argument("--data", metavar="FILE", help="data set, where the run's has moved")
    parser.add_argument("--epochs", type=int, default=25, metavar="N")
    parser.add_argument("--batch-size", type=int, default=100, help="of Adam [100]", metavar="N")
    parser.add_argument("--factors", type=int, default=100, metavar="N")
    options = parser.parse_args(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    import torch

    torch.set_num_threads(1)
    networks, problem, config = load(options.run, options.data)
    print(
        f"{problem.note}; {len(problem.train)} real rows, {len(problem.classes)} classes; seconds"
        " of one thread's own computing\n"
    )
    seconds, figures = {}, {}
    for name, way in (("package", ours), ("usual loop", usual)):
        parts: dict[str, float] = {}
        figures[name] = way(networks, problem, config, options, parts)
        seconds[name] = parts
        spent = ", ".join(f"{part} {value:.2f}" for part, value in parts.items())
        print(f"{name}: {spent}", flush=True)
    print("\n| | seconds | U | S | H | AUSUC |\n| --- | --- | --- | --- | --- | --- |")
    for name, found in figures.items():
        cells = " | ".join(f"{100 * found[key]:.1f}" for key in ("U", "S", "H", "AUSUC"))
        print(f"| {name} | {sum(seconds[name].values()):.1f} | {cells} |")
    ratio = sum(seconds["usual loop"].values()) / sum(seconds["package"].values())
    print(f"\nthe usual loop takes {ratio:.1f} times as long (goal: 10)")
    rate_of_synthesis(networks, problem, config)
    return 0


def load(run: Path, data: str | None) -> tuple[Networks, Problem, Config]:
    """Networks of the newest checkpoint of a run's selection, and its problem; the first fold."""
    return next(load_folds(run, data))


def load_folds(run: Path, data: str | None) -> Iterator[tuple[Networks, Problem, Config]]:
    """What `load` does, for every fold of a run's selection; the data are read once."""
    import torch

    from gzsl_dist.config.files import read_run_config
    from gzsl_dist.data.load import load_dataset
    from gzsl_dist.data.problem import selection_problem
    from gzsl_dist.distributed import checkpoint
    from gzsl_dist.run.files import RunFiles
    from gzsl_dist.training.resume import compatibility
    from gzsl_dist.training.trainer import networks_for

    config = read_run_config(run)
    dataset = load_dataset(data or config.data.path, "true")
    for fold, training in enumerate(RunFiles(run).folds(config.evaluation.folds)):
        problem = selection_problem(dataset, config, fold)
        networks = networks_for(problem, config).to(torch.device("cpu"))
        found = checkpoint.checkpoints(training.checkpoints)[-1]
        made = compatibility(problem.sizes, config, dataset.fingerprint)
        saved = checkpoint.load(found, made, optimizers=False)
        checkpoint.restore(found, saved, networks, averaged=True)
        yield networks, problem, config


def ours(
    networks: Networks,
    problem: Problem,
    config: Config,
    options: argparse.Namespace,
    parts: dict[str, float],
) -> dict[str, float]:
    from gzsl_dist.evaluation.score import fit_classifier, score_problem
    from gzsl_dist.evaluation.selection import validation_figures

    alone = processes()
    made = timed(parts, "synthesize", lambda: synthesized(networks, problem, config))
    classifier = timed(parts, "fit", lambda: fit_classifier(networks, problem, config, alone, made))
    scored = timed(
        parts,
        "score",
        lambda: score_problem(networks, classifier, problem, config.evaluation, alone),
    )
    found = timed(parts, "curve", lambda: validation_figures([scored], config.evaluation))
    return {name.removeprefix("validation/"): value for name, value in found.items()}


def usual(
    networks: Networks,
    problem: Problem,
    config: Config,
    options: argparse.Namespace,
    parts: dict[str, float],
) -> dict[str, float]:
    """The usual loop; rows are embedded once, though, not once a mini-batch."""
    import torch

    draw = torch.Generator().manual_seed(0)

    def synthesize() -> tuple[Any, Any]:
        rows, labels = [], []
        with torch.no_grad():
            for number in range(problem.seen_count, len(problem.classes)):
                count = config.evaluation.rows_per_class
                noise = torch.randn(count, config.model.noise_dim, generator=draw)
                semantics = problem.semantics[number].float().expand(count, -1)
                rows.append(networks.generator(noise, semantics))
                labels += [number] * count
        return torch.cat(rows), torch.tensor(labels)

    def embed(features: Any) -> Any:
        with torch.no_grad():
            return features if networks.embedding is None else networks.embedding(features)[0]

    made, made_labels = timed(parts, "synthesize", synthesize)

    def fit() -> tuple[Any, Any]:
        inputs = torch.cat([embed(problem.train.features[:]), embed(made)])
        scale = 10 / inputs.square().sum(1).mean().sqrt()  # with small inputs Adam takes longer
        inputs, labels = inputs * scale, torch.cat([problem.train.labels, made_labels])
        linear = torch.nn.Linear(inputs.shape[1], len(problem.classes))
        optimizer = torch.optim.Adam(linear.parameters(), lr=1e-3, betas=(0.5, 0.999))
        for _ in range(options.epochs):
            for some in torch.randperm(len(labels), generator=draw).split(options.batch_size):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(linear(inputs[some]), labels[some]).backward()
                optimizer.step()
        return linear, scale

    classifier, scale = timed(parts, "fit", fit)

    def accuracy(rows: Any, factor: float) -> float:
        with torch.no_grad():
            scores = classifier(embed(rows.features[:]) * scale).log_softmax(dim=1)
        scores[:, : problem.seen_count] -= factor
        right = (scores.argmax(dim=1) == rows.labels).double()
        means = [right[rows.labels == label].mean() for label in rows.labels.unique()]
        return float(torch.stack(means).mean())

    def curve() -> dict[str, float]:
        points = []
        for factor in torch.linspace(-5, 10, options.factors).tolist():
            s, u = accuracy(problem.seen, factor), accuracy(problem.unseen, factor)
            points.append((2 * u * s / max(u + s, 1e-12), u, s))
        h, u, s = max(points)
        points = [(0, 0, points[0][2]), *points, (0, points[-1][1], 0)]
        area = sum((b[1] - a[1]) * (a[2] + b[2]) / 2 for a, b in itertools.pairwise(points))
        return {"U": u, "S": s, "H": h, "AUSUC": area}

    return timed(parts, "curve", curve)


def rate_of_synthesis(networks: Networks, problem: Problem, config: Config) -> None:
    """Synthesis beside the generator's products alone, interleaved."""
    import torch
    from matrix_products import runner, synthesis
    from step import ratio

    unseen, count = len(problem.classes) - problem.seen_count, config.evaluation.rows_per_class
    shape = argparse.Namespace(
        semantic_dim=problem.semantics.shape[1], feature_dim=problem.feature_dim
    )
    products = runner(
        synthesis(config, shape, count, 1, weight=False), torch.device("cpu"), torch.float32
    )
    times: dict[str, list[float]] = {"synthesis": [], "products": []}
    for _ in range(6):
        spent: dict[str, float] = {}
        timed(spent, "synthesis", lambda: synthesized(networks, problem, config))
        timed(spent, "products", lambda: [products() for _ in range(unseen)])
        for name, value in spent.items():
            times[name].append(value)
    rate = ratio(times["products"][1:], times["synthesis"][1:])
    print(f"synthesis: {rate:.2f} of the rate of the generator's products alone (goal: 0.8)")


def synthesized(networks: Networks, problem: Problem, config: Config) -> Any:
    """Synthetic rows of all unseen classes, in memory."""
    from gzsl_dist.evaluation.synthetic import synthetic_rows

    with synthetic_rows(networks, problem, config, processes()) as rows:
        return rows


def processes() -> DistributedContext:
    import torch

    from gzsl_dist.distributed.processes import DistributedContext

    return DistributedContext(0, 1, torch.device("cpu"))


def timed(parts: dict[str, float], name: str, action: Callable[[], T]) -> T:
    started = time.process_time()
    result = action()
    parts[name] = time.process_time() - started
    return result


if __name__ == "__main__":
    sys.path.insert(0, str(scaling.ROOT))
    sys.exit(main(sys.argv[1:]))
