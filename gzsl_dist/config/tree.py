"""The one tree of settings, and which settings go together.

Values come from the sections beside this file, then from a YAML file, then from
``--section.key value`` (`command_line.py`). A loss setting that nobody gave is filled in from the
method's preset (`presets.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from gzsl_dist.config.data import DataSettings, RunSettings
from gzsl_dist.config.evaluation import EvaluationSettings
from gzsl_dist.config.loss import BROKEN, LOSSES, LossSettings
from gzsl_dist.config.model import ModelSettings
from gzsl_dist.config.nested import fill, flat
from gzsl_dist.config.presets import PRESETS
from gzsl_dist.config.section import Section
from gzsl_dist.config.train import CheckpointSettings, LogSettings, TrainSettings
from gzsl_dist.errors import InputError

FREE_TO_DIFFER = (
    "run",
    "log",
    "checkpoint",
    "data.in_memory",
    "evaluation.final",
    "evaluation.in_memory",
    "train.strategy",
    "train.zero_stage",
    "train.deepspeed_config",
    "train.callbacks",
    "train.device",
    "train.collective_timeout",
    "train.stop_signals",
    "train.micro_batch_size",
    "train.compile",
    "train.resume",
)
"""Settings that do not change what a run computes; a resumed run may give others."""


def is_free_to_differ(name: str) -> bool:
    """Whether a setting, by its dotted name, is one of `FREE_TO_DIFFER`."""
    return any(name == free or name.startswith(free + ".") for free in FREE_TO_DIFFER)


class Config(Section):
    """All settings of a run."""

    method: Literal[
        "iapc", "ce_gzsl", "wgan", "proxy_anchor", "supcon", "ridge", "nearest_prototype", "clip"
    ] = Field(
        "iapc",
        description="Preset of loss weights, or a baseline without networks; see docs/method.md.",
    )
    size: Literal["auto", "small", "base", "published"] | None = Field(
        None,
        description="Widths, noise, batch, steps and learning rate that fit the data and the "
        "device, where nothing else is given (docs/data.md, Sizes); without a configuration file, "
        "`auto` for data of your own.",
    )
    run: RunSettings = Field(default_factory=RunSettings)
    data: DataSettings = Field(default_factory=DataSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    loss: LossSettings = Field(default_factory=LossSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    checkpoint: CheckpointSettings = Field(default_factory=CheckpointSettings)
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if BROKEN:
            raise InputError(BROKEN)
        if isinstance(values, dict):
            method = values.get("method", cls.model_fields["method"].default)
            if isinstance(method, str) and method in PRESETS:
                unweighted = dict.fromkeys(("critic", "generator"), dict.fromkeys(LOSSES, 0.0))
                return fill({"loss": unweighted}, fill(PRESETS[method], values))
        return values

    @model_validator(mode="after")
    def _check_losses(self) -> Config:
        for name in LOSSES:
            if getattr(self.loss.generator, name) and not getattr(self.loss.critic, name):
                raise ValueError(
                    f"loss.generator.{name} is {getattr(self.loss.generator, name)} but "
                    f"loss.critic.{name} is 0: what supervises the generator must be trained "
                    "itself; set both"
                )
        weights, source = self.loss.critic, self.loss.prototype.source
        if self.loss.negatives == "local" and weights.active("prototypes") and source == "ema":
            raise ValueError(
                "loss.negatives local and loss.prototype.source ema do not go together: each "
                "process would have its own means; use learned or semantic"
            )
        if self.evaluation.space != "x" and not weights.active():
            raise ValueError(
                f"evaluation.space is {self.evaluation.space} but no embedding loss has a weight; "
                "use x"
            )
        if self.evaluation.space == "u" and not weights.active("prototypes", "rows"):
            raise ValueError("evaluation.space u needs loss.critic.prototype or .instance; use h")
        if (self.evaluation.calibration == "fixed") == (self.evaluation.calibration_factor is None):
            raise ValueError(
                "evaluation.calibration fixed and evaluation.calibration_factor go together; set "
                "both or neither"
            )
        if self.model.anchor_width is not None and self.model.anchor != "kernel_ridge":
            raise ValueError(
                f"model.anchor_width: model.anchor {self.model.anchor} has no width; use "
                "kernel_ridge"
            )
        choices = self.evaluation.selection, self.evaluation.calibration
        if not self.evaluation.final and "validation" not in choices:
            raise ValueError(
                "evaluation.final false leaves nothing to do without model selection; set "
                "evaluation.selection or .calibration to validation"
            )
        return self

    @property
    def decisive(self) -> dict[str, Any]:
        """By dotted name, the settings that decide what a run computes."""
        settings = flat(self.model_dump())
        return {name: value for name, value in settings.items() if not is_free_to_differ(name)}

    @property
    def run_dir(self) -> Path:
        """The run directory (`gzsl_dist.config.command_line` fills in the default)."""
        return Path(self.run.dir or "runs/digits")
