"""The sections of the tree of settings: names, types, ranges, defaults and what each is for.

`gzsl_dist.config` puts them together.
"""

from __future__ import annotations

import signal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

EMBEDDED = "digits"  # the name of the embedded data set

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A part of the tree; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _usable_path(text: str) -> str:
    if "\0" in text or any(len(part.encode()) > 255 for part in text.split("/")):
        raise ValueError("no file can have such a name")
    return text


PathText = Annotated[str, Field(min_length=1), AfterValidator(_usable_path)]


def _split(value: Any) -> Any:
    """The command line gives a list as one text with commas."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _text_of_bool(value: Any) -> Any:
    """YAML reads true and false as such, though they are two of several words here."""
    return str(value).lower() if isinstance(value, bool) else value


InMemory = Annotated[Literal["auto", "true", "false"], BeforeValidator(_text_of_bool)]


def _catchable_signal(name: str) -> str:
    known = {number.name for number in signal.Signals} - {"SIGKILL", "SIGSTOP"}
    if name not in known:
        raise ValueError(f"{name!r} is no signal that can be caught; such as SIGUSR1")
    return name


SignalName = Annotated[str, AfterValidator(_catchable_signal)]


class RunSettings(Section):
    """Where the run lives."""

    dir: PathText | None = Field(
        None, description="Run directory; default runs/<name of the configuration file>."
    )


class DataSettings(Section):
    """Which data, and how they enter the networks."""

    path: PathText = Field(
        EMBEDDED, description="A file made by `gzsl_dist.prepare`, or `digits`, the embedded set."
    )
    in_memory: InMemory = Field(
        "auto",
        description="Whether features are held in memory or read from the file row by row; auto: "
        "in memory up to a quarter of what is free, shared by a machine's processes.",
    )
    semantics_norm: PositiveFloat | None = Field(
        8.0,
        description="Length that every class's semantic vector is scaled to; null keeps it as "
        "published. About sqrt(model.noise_dim) makes semantics as loud as the noise.",
    )
    feature_transform: Literal["none", "sqrt", "log1p"] = Field(
        "none", description="Applied to features >= 0 before min-max scaling."
    )


class ModelSettings(Section):
    """Sizes of the networks."""

    anchor: Literal["none", "ridge", "kernel_ridge"] = Field(
        "none",
        description="A frozen regression of class means on semantics that the generator starts "
        "from; ours, beyond the paper.",
    )
    anchor_width: PositiveFloat | None = Field(
        None,
        description="Width of the anchor's kernel, in parts of the classes' median squared "
        "distance; null: chosen on validation classes, without them by leaving a class out.",
    )
    anchor_penalty: PositiveFloat | None = Field(
        None, description="L2 penalty of the anchor's regression; null: chosen as its width is."
    )
    noise_dim: PositiveInt = Field(64, description="d_z, size of the generator's noise.")
    generator_hidden: PositiveInt = Field(4096, description="Hidden width of the generator.")
    critic_hidden: PositiveInt = Field(4096, description="Hidden width of the critic.")
    embedding_dim: PositiveInt = Field(2048, description="Size of h, the classifier's space.")
    projection_dim: PositiveInt = Field(512, description="Size of u, the contrastive space.")
    comparator_hidden: PositiveInt = Field(2048, description="Hidden width of the comparator.")
    prototype_hidden: PositiveInt = Field(
        1024, description="Hidden width of the network that makes semantic prototypes."
    )


class SideWeights(Section):
    """Weights of the embedding losses in one side's objective; null is the method's preset."""

    prototype: Weight | None = Field(None, description="Prototypical contrastive loss.")
    instance: Weight | None = Field(None, description="Instance contrastive loss.")
    comparator: Weight | None = Field(None, description="Class-level comparator loss of CE-GZSL.")

    @property
    def any(self) -> bool:
        """Whether this side has an embedding loss at all."""
        return bool(self.prototype or self.instance or self.comparator)


class PrototypeSettings(Section):
    """Prototypes and their loss."""

    source: Literal["learned", "semantic", "ema"] = Field(
        "semantic",
        description="Prototypes as parameters, as a network of the semantics, or as moving means.",
    )
    momentum: Fraction = Field(0.9, description="Share of the old mean that stays (source ema).")
    form: Literal["anchors", "softmax"] = Field(
        "anchors",
        description="Prototypes as anchors of rows (the method), or as class weights of a margin "
        "softmax (CosFace), which has no adaptive weights.",
    )
    adaptive: bool | None = Field(
        None, description="Adaptive weights (the method) or fixed ones (Proxy-Anchor)."
    )
    margin: Annotated[float, Field(ge=0, le=1)] = Field(0.1, description="Margin m, in [0, 1].")
    scale: PositiveFloat = Field(10.0, description="Scale g of the similarities.")


class InstanceSettings(Section):
    """The instance-level contrastive loss."""

    form: Literal["adaptive", "fixed", "supcon", "robust"] | None = Field(
        None,
        description="Adaptive weights (the method), fixed ones, SupCon (CE-GZSL), or SupCon with a "
        "margin and a temperature of each instance's own.",
    )
    margin: Annotated[float, Field(ge=0, le=1)] = Field(0.1, description="Margin m, in [0, 1].")
    scale: PositiveFloat = Field(10.0, description="Scale g of the similarities.")
    temperature: PositiveFloat = Field(0.1, description="Temperature of SupCon.")
    radius: PositiveFloat = Field(
        2.0, description="Form robust: how far the weights of rows may be from equal, in nats."
    )


class LossSettings(Section):
    """Weights and shapes of all losses."""

    gradient_penalty: Weight = Field(10.0, description="Weight of the gradient penalty.")
    critic: SideWeights = Field(
        default_factory=SideWeights, description="Weights beside the critic's loss (real rows)."
    )
    generator: SideWeights = Field(
        default_factory=SideWeights, description="Weights in the generator's loss (synthetic rows)."
    )
    negatives: Literal["global", "local"] = Field(
        "global",
        description="Rows compared: those of all processes, or of each process alone (an ablation: "
        "results then depend on the number of processes).",
    )
    prototype: PrototypeSettings = Field(default_factory=PrototypeSettings)
    instance: InstanceSettings = Field(default_factory=InstanceSettings)
    comparator_temperature: PositiveFloat = Field(0.1, description="Temperature of the comparator.")


class TrainSettings(Section):
    """The optimization."""

    steps: PositiveInt = Field(400, description="Generator steps.")
    batch_size: Annotated[int, Field(ge=2)] = Field(
        256, description="Rows of the global batch, shared by all processes."
    )
    micro_batch_size: PositiveInt | None = Field(
        None,
        description="Rows a process computes at once (GradCache): less memory, same gradients.",
    )
    critic_steps: PositiveInt = Field(5, description="Critic steps before each generator step.")
    learning_rate: PositiveFloat = Field(1e-4, description="Adam's learning rate, both sides.")
    beta1: Fraction = Field(0.5, description="Adam's first beta.")
    beta2: Fraction = Field(0.999, description="Adam's second beta.")
    ema: Fraction | None = Field(
        None,
        description="Evaluate, save and synthesize with an exponential moving average of generator "
        "and embedding, of which this share stays at each step, as 0.97; null: the last weights.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="Decides every draw.")
    strategy: Literal["auto", "single", "ddp", "deepspeed"] = Field(
        "auto", description="How processes work together; auto: single at one, ddp above."
    )
    zero_stage: Annotated[int, Field(ge=0, le=3)] = Field(
        1,
        description="With strategy deepspeed, what is partitioned over the processes: 0 nothing, 1 "
        "optimizer states, 2 gradients too, 3 parameters too.",
    )
    deepspeed_config: PathText | None = Field(
        None,
        description="DeepSpeed's own file, YAML or JSON, in place of zero_stage: stage, sizes of "
        "buffers and such.",
    )
    precision: Literal["float32", "bfloat16", "float64"] = Field(
        "float32",
        description="Precision of the networks; with bfloat16, weights and losses stay float32.",
    )
    compile: bool = Field(
        False, description="Compile the row-wise part of both objectives (needs a C++ compiler)."
    )
    resume: PathText = Field(
        "auto",
        description="auto goes on from the run directory's newest checkpoint; never moves an "
        "earlier run aside; a run directory or checkpoint of another run is started from.",
    )
    collective_timeout: PositiveInt = Field(
        300, description="Seconds that processes wait for each other before the job fails."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto takes a GPU for each process if there is one."
    )
    stop_signals: Annotated[list[SignalName], BeforeValidator(_split)] = Field(
        ["SIGTERM", "SIGUSR1"],
        description="Signals that end the run after its step, with a checkpoint; with commas.",
    )


class LogSettings(Section):
    """What is written while training."""

    every: PositiveInt = Field(10, description="Steps between lines in metrics.jsonl.")


class CheckpointSettings(Section):
    """Saving."""

    every: PositiveInt = Field(100, description="Steps between checkpoints.")
    keep: PositiveInt = Field(2, description="Newest checkpoints kept.")


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
        description="Whether these rows are held in memory, or in a bank in the run directory "
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
