"""Names and places of all files of a run directory; nothing else in the package spells them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainingFiles:
    """What every training writes: the last one into the run directory, others for selection.

    Attributes:
        directory: of the training.
    """

    directory: Path

    @property
    def metrics(self) -> Path:
        """A line of figures for each logged step (`gzsl_dist.run.metrics`)."""
        return self.directory / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """A folder for each checkpoint (`gzsl_dist.distributed.checkpoint`)."""
        return self.directory / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.directory / "tensorboard"

    def scored(self, step: int) -> Path:
        """Scored validation rows of a step, of each of several folds."""
        return self.directory / "scored" / f"step-{step:08d}.npz"

    def all_scored(self) -> dict[int, Path]:
        """What `scored` has written, by step."""
        files = sorted((self.directory / "scored").glob("step-*.npz"))
        return {int(file.stem.removeprefix("step-")): file for file in files}


@dataclass(frozen=True)
class RunFiles(TrainingFiles):
    """A run directory; its own training is the last one, on all seen classes."""

    @property
    def config(self) -> Path:
        """All settings, as YAML."""
        return self.directory / "config.yaml"

    @property
    def state(self) -> Path:
        """Whether the run goes on, and how its last start ended (`gzsl_dist.run.state`)."""
        return self.directory / "state.json"

    @property
    def lock(self) -> Path:
        """Held by the job that is in the directory."""
        return self.directory / ".lock"

    @property
    def result(self) -> Path:
        """Figures on test rows (`gzsl_dist.run.result`); it is there when the run is done."""
        return self.directory / "result.json"

    @property
    def model(self) -> Path:
        """The model that predicts (`gzsl_dist.inference.model`)."""
        return self.directory / "model.safetensors"

    @property
    def training_rows(self) -> Path:
        """Data that a model carries along (`gzsl_dist.inference.carried`); no training has it."""
        return self.directory / "training_rows.h5"

    @property
    def representation(self) -> Path:
        """How well classes keep apart (`gzsl_dist.evaluation.representation`)."""
        return self.directory / "representation.json"

    @property
    def confusion(self) -> Path:
        """Which classes are taken for which (`gzsl_dist.evaluation.confusion`)."""
        return self.directory / "confusion.json"

    @property
    def test_reads(self) -> Path:
        """A line for each reading of test rows before the end of training."""
        return self.directory / "test_reads.jsonl"

    @property
    def selection_folder(self) -> Path:
        """Of the trainings that choose, without some of the seen classes."""
        return self.directory / "selection"

    @property
    def selection(self) -> Path:
        """What they chose (`gzsl_dist.run.selection`)."""
        return self.selection_folder / "selection.json"

    @property
    def anchor(self) -> Path:
        """The anchor's settings that were chosen before them."""
        return self.selection_folder / "anchor.json"

    @property
    def search(self) -> Path:
        """Of the trials of ``gzsl search``, each a run directory (`gzsl_dist.sweeps.search`)."""
        return self.directory / "search"

    def folds(self, folds: int) -> list[TrainingFiles]:
        """The trainings of selection; a single one lies in the folder of selection itself."""
        if folds == 1:
            return [TrainingFiles(self.selection_folder)]
        numbers = range(1, folds + 1)
        return [TrainingFiles(self.selection_folder / f"fold-{number}") for number in numbers]

    @property
    def remains(self) -> list[Path]:
        """Those of an earlier start that must not be mixed with another run's."""
        every = (self.result, self.model, self.checkpoints, self.selection_folder, self.metrics)
        return [path for path in every if path.exists()]
