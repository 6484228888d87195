"""Search for settings: trials of an optuna study, each a run that stops before the test rows."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from gzsl_dist.config import Config
from gzsl_dist.config.nested import differences
from gzsl_dist.distributed.log import duration, log_rank0
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import DivergedError, InputError
from gzsl_dist.experiment.run import run
from gzsl_dist.files import exclusive_lock, read_json_object
from gzsl_dist.run.files import RunFiles
from gzsl_dist.run.state import is_alive, read_state
from gzsl_dist.sweeps.space import Space, configured, distributions
from gzsl_dist.sweeps.trials import best_trial, print_trials, told, value_of, write_trials
from gzsl_dist.training.stop_signal import StopSignal

RANDOM_TRIALS = 8
"""Drawn at random before the sampler learns from them."""
MOST_KILLS = 3
"""A trial that was killed so often, for want of memory perhaps, is not started again."""

Claimed = tuple[str, int, dict[str, Any]]
"""Method, number and settings of a trial."""


class Search:
    """Trials of one or more methods, equally many of each, shared by any number of jobs.

    Each method is a study in the journal ``search/journal.log`` of the run directory. Trial 0 is
    the configuration as given. What a trial draws depends on the seed, its number and the trials
    before it, so a search of one job is repeatable, also where it was interrupted.

    Args:
        bases: configuration by method; all of one run directory and one seed.
        space: settings to try.
        trials: of each method, those of earlier starts included.

    Raises:
        InputError: the space does not fit a configuration.
    """

    def __init__(self, bases: Mapping[str, Config], space: Space, trials: int) -> None:
        self.bases = {m: configured(c, {"evaluation.final": False}) for m, c in bases.items()}
        self.space = {m: distributions(space, base) for m, base in self.bases.items()}
        self.trials = trials
        self.any_base = next(iter(self.bases.values()))
        self.folder = RunFiles(self.any_base.run_dir).search
        self.studies: dict[str, optuna.Study] = {}
        self._held: IO[str] | None = None

    @property
    def plan(self) -> str:
        """What will be run, for people."""
        base = self.any_base
        return (
            f"search: {self.trials} trials of {', '.join(self.bases)} in {self.folder}; each is "
            f"{base.evaluation.folds} training(s) (evaluation.folds) of {base.train.steps} steps "
            f"in {base.train.precision}, without test rows"
        )

    def left(self, seconds: float) -> str:
        """How many trials no job has begun and how long one job takes for them, for people.

        Args:
            seconds: that a trial takes.
        """
        begun = sum(len(study.get_trials(deepcopy=False)) for study in self.studies.values())
        count = self.trials * len(self.studies) - begun
        return f"; {count} left, about {duration(count * seconds)}" if count > 0 else ""

    def open(self) -> None:
        """Open the journal, or make it; the first process alone.

        Raises:
            InputError: it holds another search, or cannot be written.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            storage = JournalStorage(JournalFileBackend(str(self.folder / "journal.log")))
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be written ({error.strerror}); choose another --run.dir"
            ) from None
        for method, base in self.bases.items():
            study = optuna.create_study(
                storage=storage, study_name=method, direction="maximize", load_if_exists=True
            )
            self.studies[method] = study
            asked = {name: str(value) for name, value in base.decisive.items()}
            asked |= {f"space {name}": str(what) for name, what in self.space[method].items()}
            held = study.user_attrs.get("asked")
            if held is None:
                study.set_user_attr("asked", asked)
            if different := differences(asked, held or asked):
                raise InputError(
                    f"{self.folder} holds a search of {method} with {different}; use another "
                    "--run.dir, or delete it"
                )

    def claim(self) -> Claimed | None:
        """A trial for this job alone: one that a job left unfinished, else a new one.

        Returns:
            None where there is none left to start.
        """
        with self._alone():
            for method, study in self.studies.items():
                for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
                    if self._adopt(method, trial):
                        return method, trial.number, trial.params
            counts = {
                method: len(study.get_trials(False)) for method, study in self.studies.items()
            }
            method = min(counts, key=lambda method: counts[method])
            study, number = self.studies[method], counts[method]
            if number >= self.trials:
                return None
            seed = np.random.SeedSequence([self.any_base.train.seed, number]).generate_state(1)[0]
            study.sampler = optuna.samplers.TPESampler(
                seed=int(seed), n_startup_trials=RANDOM_TRIALS, multivariate=False
            )
            asked = study.ask(self.space[method] if number else {})
            self._held = self._lock(method, number)
            return method, number, asked.params

    def config(self, claimed: Claimed) -> Config:
        """A trial's configuration.

        Raises:
            InputError: its settings do not go together.
        """
        method, number, settings = claimed
        place = {"run.dir": str(self._directory(method, number))}
        return configured(self.bases[method], settings | place)

    def tell(self, claimed: Claimed, reason: str) -> str:
        """Record how a trial ended, and what is best now.

        Args:
            claimed: the trial.
            reason: why it failed; empty where it did not.

        Returns:
            The line that tells it.
        """
        with self._alone():  # else another job could take a trial that just ended for abandoned
            return self._tell(claimed, reason)

    def _tell(self, claimed: Claimed, reason: str) -> str:
        method, number, _ = claimed
        study, base = self.studies[method], self.bases[method]
        files = RunFiles(self._directory(method, number))
        if reason:
            study.set_user_attr(f"reason {number}", reason)
            study.tell(number, state=TrialState.PRUNED)  # the sampler takes it for a bad one
            how = f"failed: {reason}"
        else:
            figures = read_json_object(files.selection, "delete the search")["validation"]
            value = float(figures[base.evaluation.criterion])
            study.tell(number, value)
            how = f"validation H {100 * value:.1f}"
        for training in files.folds(base.evaluation.folds):
            shutil.rmtree(training.checkpoints, ignore_errors=True)
        self._release()
        write_trials(self.folder, self.bases, self.studies)
        best = best_trial(study)
        best_told = f"; best {100 * value_of(best):.1f}, of trial {best.number}" if best else ""
        return f"trial {number} of {method} {how}{best_told}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other jobs from looking at the trials and changing them."""
        with (self.folder / ".lock").open("a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _adopt(self, method: str, trial: FrozenTrial) -> bool:
        """Take over a trial whose job is gone, unless it was killed too often."""
        directory = self._directory(method, trial.number)
        state = read_state(directory)
        killed = state is not None and state.state == "running"
        if killed and state is not None and is_alive(directory, state):
            return False
        try:
            held = self._lock(method, trial.number)
        except InputError:
            return False
        self._held = held
        if killed:
            held.write("killed\n")
            held.flush()
            if Path(held.name).read_text(encoding="utf-8").count("killed") >= MOST_KILLS:
                self._tell((method, trial.number, {}), f"was killed {MOST_KILLS} times")
                return False
        return True

    def _lock(self, method: str, number: int) -> IO[str]:
        directory = self._directory(method, number)
        return exclusive_lock(
            directory.with_suffix(".lock"),
            f"trial {directory}",
            busy="in use",
            remedy="use a --run.dir on a file system with locks",
        )

    def _release(self) -> None:
        if self._held is not None:
            os.unlink(self._held.name)
            self._held.close()
        self._held = None

    def _directory(self, method: str, number: int) -> Path:
        return self.folder / f"{method}-{number:04d}"


def run_search(search: Search, processes: DistributedContext, stop: StopSignal) -> None:
    """Run trials until all are done or in the hands of other jobs; all processes must call.

    Raises:
        InputError: the configuration as given cannot be run.
        PreemptedError: a signal asked to stop, and a checkpoint was saved.
    """
    processes.run_on_rank0(search.open)
    log_rank0(processes, search.plan)
    started, ended = time.monotonic(), 0
    while (claimed := processes.run_on_rank0(search.claim)) is not None:
        method, number, settings = claimed
        tried = ", ".join(told(settings)) or "as given"
        log_rank0(processes, f"trial {number} of {method}, {search.trials} each: {tried}")
        reason = ""
        try:
            run(search.config(claimed), processes, stop)
        except (DivergedError, InputError) as error:
            if number == 0 and isinstance(error, InputError):
                raise  # no other settings would help
            reason = str(error)
            if error.speaks and not processes.is_main_process:
                print(f"trial {number} of {method}: {reason}", flush=True)
        except (RuntimeError, MemoryError) as error:  # such as too little memory on a GPU
            if processes.world_size > 1:
                raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ended += 1
        line = processes.run_on_rank0(lambda: search.tell(claimed, reason))  # noqa: B023
        mean = (time.monotonic() - started) / ended
        log_rank0(processes, line + processes.run_on_rank0(lambda: search.left(mean)))  # noqa: B023
    processes.run_on_rank0(lambda: print_trials(search.folder, search.studies))
