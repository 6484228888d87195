"""The one pipeline: select on validation classes, fit on all seen ones, measure once."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from gzsl_dist.baselines.candidate import Candidate
from gzsl_dist.baselines.run import choose_penalties, fit_baseline, measured_baseline, score_rows
from gzsl_dist.config import Config
from gzsl_dist.config.presets import BASELINES
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.guard import guarded
from gzsl_dist.data.problem import Problem, final_problem, selection_problem
from gzsl_dist.distributed import checkpoint
from gzsl_dist.distributed.log import log_rank0
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.distributed.strategies import Strategy
from gzsl_dist.evaluation.classifier import SoftmaxClassifier
from gzsl_dist.evaluation.details import write_details
from gzsl_dist.evaluation.oracle import best_on_test, count_reads, note_early_read, oracle_figures
from gzsl_dist.evaluation.result import result_of
from gzsl_dist.evaluation.score import fit_classifier, score_problem
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.evaluation.selection import fixed, needs_validation, select, validations_of_folds
from gzsl_dist.inference.assemble import assemble
from gzsl_dist.inference.model import ZeroShotModel
from gzsl_dist.models.networks import Networks
from gzsl_dist.monitoring.board import draw, show_result
from gzsl_dist.run.files import RunFiles
from gzsl_dist.run.metrics import read_metrics
from gzsl_dist.run.result import Result
from gzsl_dist.run.selection import Selection
from gzsl_dist.training.anchor import chosen_anchor, with_anchor
from gzsl_dist.training.loop import fit
from gzsl_dist.training.resume import check_start, earlier_checkpoints
from gzsl_dist.training.stop_signal import StopSignal


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What `Experiment.fit` made.

    Attributes:
        problem: all seen classes, and the test rows.
        selection: how it was trained.
        classifier: over the problem's classes; a baseline's or the networks'.
        networks: with whole weights; None of a baseline.
        model: what predicts.
    """

    problem: Problem
    selection: Selection
    classifier: SoftmaxClassifier | Candidate
    networks: Networks | None
    model: ZeroShotModel


class Experiment:
    """What `gzsl_dist.train` and `GZSLClassifier` do, step by step; all processes must call.

    Args:
        dataset: the data; test rows are refused until `fit` has trained.
        config: all settings.
        processes: the job.
        strategy: how the processes train together.
        stop: when raised on any process, all save and stop.
        files: the run directory; None: all stays in memory.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: Config,
        processes: DistributedContext,
        strategy: Strategy,
        stop: StopSignal,
        files: RunFiles | None = None,
    ) -> None:
        self.dataset, self.guard = guarded(dataset)
        self.config, self.processes, self.strategy = config, processes, strategy
        self.stop, self.files = stop, files

    def select(self) -> Selection:
        """Training length, calibration factor and the anchor's settings, by validation classes.

        The training without them lives in ``selection/`` inside the run directory, in the same
        form as a run; each of several folds in ``selection/fold-1`` and so on. What was chosen
        there before is read.

        Raises:
            InputError: too few classes or rows for validation classes, or files do not fit.
            DivergedError: a loss became NaN or infinite.
            PreemptedError: a signal asked to stop, and a checkpoint was saved.
        """
        config, processes, files = self.config, self.processes, self.files
        path = files.selection if files else None
        if config.method in BASELINES:
            log_rank0(processes, f"{config.method}: choosing its settings on validation classes")
            return processes.run_on_rank0(lambda: choose_penalties(self.dataset, config, path))
        if not needs_validation(config.evaluation):
            return fixed(config.train.steps, config.evaluation, self.dataset.fingerprint)
        if path is not None and processes.run_on_rank0(path.exists):
            return processes.run_on_rank0(lambda: Selection.read(path, self.dataset.fingerprint))
        if files and config.evaluation.final:  # the training after this one must be able to start
            checkpoint.prepare(files.checkpoints, processes)
            processes.run_on_rank0(lambda: check_start(files.directory, self.dataset, config))
        folds = range(config.evaluation.folds)
        problems = (selection_problem(self.dataset, config, fold) for fold in folds)
        anchor = chosen_anchor(problems, config.model, processes, files.anchor if files else None)
        notes: list[str] = []
        scored: list[dict[int, ScoredProblem]] = []
        for fold in folds:
            problem = selection_problem(self.dataset, config, fold)
            notes.append(problem.note)
            scored.append(self._train_fold(fold, problem, with_anchor(config, anchor)))

        def choose() -> Selection:
            chosen = select(
                self._validations(scored),
                config.evaluation,
                config.train.steps,
                " and ".join(notes),
                self.dataset.fingerprint,
            )
            chosen = dataclasses.replace(chosen, settings=anchor or None)
            if path is not None:
                chosen.write(path)
            return chosen

        selection = processes.run_on_rank0(choose)
        log_rank0(
            processes,
            f"selection: {selection.steps} steps, calibration factor "
            f"{selection.calibration_factor:.3f}, validation H "
            f"{100 * (selection.validation or {})['H']:.1f}",
        )
        return selection

    def fit(self, selection: Selection) -> Fitted:
        """Train on all seen classes as was selected, and fit the classifier.

        Raises:
            DivergedError: a loss became NaN or infinite.
            PreemptedError: a signal asked to stop, and a checkpoint was saved.
        """
        config, files = self.config, self.files
        problem = final_problem(self.dataset, config)
        networks: Networks | None = None
        classifier: SoftmaxClassifier | Candidate
        if config.method in BASELINES:
            classifier = fit_baseline(problem, config.method, selection.settings or {})
            self.guard.end_training()
        else:
            networks = self._train(problem, selection)
            self.guard.end_training()
            log_rank0(self.processes, f"fitting the classifier of {len(problem.classes)} classes")
            classifier = fit_classifier(networks, problem, config, self.processes)
        model = assemble(networks, classifier, problem, self.dataset, config, selection)
        if files:
            self.processes.run_on_rank0(lambda: model.save(files.model))
        return Fitted(problem, selection, classifier, networks, model)

    def measure(self, fitted: Fitted, started: float) -> Result:
        """Score the test rows, once, and write the result into the run directory.

        Args:
            fitted: by `fit`.
            started: when this start of the run began, by `time.monotonic`.
        """
        config, processes, files = self.config, self.processes, self.files
        problem, classifier, networks = fitted.problem, fitted.classifier, fitted.networks
        assert files is not None, "only a run has test rows"
        rows = len(problem.seen) + len(problem.unseen)
        log_rank0(processes, f"measuring {rows} test rows, and the separability of classes")
        strategy, summary = "closed form", None
        if isinstance(classifier, Candidate):
            scored = processes.run_on_rank0(lambda: score_rows(classifier, problem))
        else:
            assert networks is not None
            strategy, summary = self.strategy.name, classifier.fit
            scored = self._score(problem, networks, classifier)
        factor = fitted.selection.calibration_factor
        processes.run_on_rank0(
            lambda: write_details(files.directory, networks, problem, config, scored, factor)
        )
        result = result_of(
            scored,
            problem,
            self.dataset,
            config,
            fitted.selection,
            steps=fitted.selection.steps,
            strategy=strategy,
            world_size=processes.world_size,
            seconds=time.monotonic() - started,
            fit=summary,
        )
        if networks is not None:
            log_rank0(processes, f"comparing with {config.evaluation.baseline}, drawing pictures")
        baseline = processes.run_on_rank0(lambda: measured_baseline(self.dataset, problem, config))
        result = dataclasses.replace(
            result,
            baseline=baseline,
            test_rows=count_reads(self.guard, files.directory, processes),
            oracle=processes.run_on_rank0(lambda: best_on_test(read_metrics(files.metrics))),
        )
        processes.run_on_rank0(lambda: result.write(files.result))
        draw(
            lambda: show_result(files.tensorboard, config, result, scored, problem.names),
            processes,
        )
        return result

    def _score(
        self, problem: Problem, networks: Networks, classifier: SoftmaxClassifier | None = None
    ) -> ScoredProblem:
        """What a classifier, fitted here if none is given, says of the rows to measure on."""
        if classifier is None:
            classifier = fit_classifier(networks, problem, self.config, self.processes)
        settings = self.config.evaluation
        return score_problem(networks, classifier, problem, settings, self.processes)

    def _train_fold(self, fold: int, problem: Problem, config: Config) -> dict[int, ScoredProblem]:
        """Train without a fold's validation classes; what it scored of them, where in memory."""
        folds, processes = config.evaluation.folds, self.processes
        files = self.files.folds(folds)[fold] if self.files else None
        title = "selection" if folds == 1 else f"selection {fold + 1}/{folds}"
        log_rank0(processes, f"{title}: {problem.note}")
        kept: dict[int, ScoredProblem] = {}

        def validate(step: int, networks: Networks) -> ScoredProblem:
            scored = self._score(problem, networks)
            if files is None:
                kept[step] = scored
            elif folds > 1:
                processes.run_on_rank0(lambda: scored.save(files.scored(step)))
            return scored

        fit(
            problem,
            config,
            processes,
            self.strategy,
            files.directory if files else None,
            title=title,
            steps=config.train.steps,
            fingerprint=self.dataset.fingerprint,
            stop=self.stop,
            validate=validate,
            # only steps that all folds were measured at count, so several folds all start anew
            start=processes.run_on_rank0(
                lambda: earlier_checkpoints(config.train.resume, selection=True)
            )
            if folds == 1
            else None,
            split=f"{fold + 1} of {folds}, seed {config.train.seed}, "
            f"{config.evaluation.held_out:g} held out",
            later=config.train.steps * (folds - fold - 1 + config.evaluation.final),
        )
        return kept

    def _validations(self, kept: list[dict[int, ScoredProblem]]) -> list[dict[str, Any]]:
        """Lines of figures of all validations: from the files, those of earlier starts too."""
        if self.files:
            trainings = self.files.folds(len(kept))
            if len(trainings) == 1:
                return read_metrics(trainings[0].metrics)
            kept = [
                {step: ScoredProblem.load(file) for step, file in each.all_scored().items()}
                for each in trainings
            ]
        return validations_of_folds(kept, self.config.evaluation)

    def _train(self, problem: Problem, selection: Selection) -> Networks:
        """Train on all seen classes, for as many steps as were chosen."""
        config, processes, files = self.config, self.processes, self.files

        def oracle(step: int, networks: Networks) -> dict[str, float]:
            if files:
                processes.run_on_rank0(
                    lambda: note_early_read(files.directory, "oracle", step, self.guard.test_rows)
                )
            with self.guard.oracle():
                return oracle_figures(self._score(problem, networks))

        return fit(
            problem,
            with_anchor(config, selection.settings),
            processes,
            self.strategy,
            files.directory if files else None,
            title="training",
            steps=selection.steps,
            fingerprint=selection.fingerprint,
            stop=self.stop,
            oracle=oracle if config.evaluation.oracle and problem.is_measured else None,
            start=processes.run_on_rank0(lambda: earlier_checkpoints(config.train.resume)),
        )
