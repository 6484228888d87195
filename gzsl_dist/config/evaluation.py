"""Settings of model selection, the classifier and the final figures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gzsl_dist.config.section import InMemory, PositiveFloat, PositiveInt, Section, Weight


class EvaluationSettings(Section):
    """Model selection, the classifier and the final figures."""

    selection: Literal["validation", "fixed"] = Field(
        "fixed",
        description="Training length: the step that validation classes like best (up to "
        "train.steps), or train.steps.",
    )
    calibration: Literal["validation", "fixed", "none"] = Field(
        "validation",
        description="Calibrated stacking with the factor validation classes choose, or with a "
        "fixed one.",
    )
    calibration_factor: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None,
        description="With calibration fixed: what validation classes chose before; seen classes' "
        "log-probabilities are lowered by it.",
    )
    folds: PositiveInt = Field(
        1,
        description="Trainings for selection, each without another set of seen classes; their mean "
        "chooses steps, factor and anchor. Unused where nothing is chosen so.",
    )
    every: PositiveInt = Field(100, description="Steps between validations (selection).")
    rows_per_class: PositiveInt = Field(100, description="Synthetic rows of each unseen class.")
    in_memory: InMemory = Field(
        "auto",
        description="Whether these rows are held in memory, or in a file in the run directory "
        "while the classifier is fitted; auto: in memory up to a quarter of what is free.",
    )
    space: Literal["h", "u", "x", "xh"] | None = Field(
        None,
        description="Classifier's input: embedding h, projection u, features x, or x beside h.",
    )
    unit_length: bool = Field(
        False, description="Scale the classifier's input (x and h each) to length 1."
    )
    classifier: Literal["softmax", "cosine"] = Field(
        "softmax",
        description="Logits as a linear function of the classifier's input, or as cosines with "
        "free class weights, started from class means; cosine implies unit_length.",
    )
    temperature: PositiveFloat = Field(0.1, description="Temperature of the cosines.")
    logit_adjustment: Weight = Field(
        0.0,
        description="Strength of logit adjustment: in the fit alone, so many times the log of a "
        "class's share of the rows is added to its logits.",
    )
    weight_decay: Weight = Field(
        1e-4,
        description="L2 penalty of the softmax classifier at 200 classes; scaled by 200 / classes, "
        "so that a class is held back as much at any number.",
    )
    iterations: PositiveInt = Field(100, description="L-BFGS iterations of the classifier.")
    fit_logits: PositiveInt = Field(
        30_000_000_000,
        description="Logits, iterations x samples x classes, that the classifier's fit may need. "
        "Where they are more, a linear discriminant in closed form takes its place (cosine: class "
        "means).",
    )
    tolerance: PositiveFloat = Field(
        1e-4,
        description="The classifier's fit ends where an iteration lowers its loss by a smaller "
        "part of it.",
    )
    held_out: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="Share of a class's training rows held out as seen rows in selection."
    )
    final: bool = Field(
        True,
        description="Train on all seen classes and measure on test rows after model selection; "
        "false stops before, to search settings without reading a test row.",
    )
    baseline: Literal["nearest_prototype", "none"] = Field(
        "nearest_prototype",
        description="A baseline without a generator, measured beside the result for comparison; up "
        "to 1,000 classes.",
    )
    oracle: bool = Field(
        False,
        description="Also measure test rows every `every` steps of the final training and record "
        "the best, as the literature reports; never used, and result.json says that it happened.",
    )

    @property
    def criterion(self) -> str:
        """Which figure of the validation classes chooses: H at the factor used, or without one."""
        return "raw_H" if self.calibration == "none" else "H"

    def factor(self, chosen: float) -> float:
        """The calibration factor, given the one that validation classes chose."""
        return chosen if self.calibration == "validation" else self.calibration_factor or 0.0
