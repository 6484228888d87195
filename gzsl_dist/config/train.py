"""Settings of the optimization, its log and its checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gzsl_dist.config.section import (
    Fraction,
    PathText,
    PositiveFloat,
    PositiveInt,
    Section,
    SignalName,
    split_text,
)


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
        description="auto resumes from the run directory's newest checkpoint; never moves an "
        "earlier run aside; a run directory or checkpoint of another run is started from.",
    )
    callbacks: Annotated[list[str], BeforeValidator(split_text)] = Field(
        [],
        description="Classes of your own that follow the training, as package.module.Class; with "
        "commas. See docs/monitoring.md.",
    )
    collective_timeout: PositiveInt = Field(
        300, description="Seconds that processes wait for each other before the job fails."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto takes a GPU for each process if there is one."
    )
    stop_signals: Annotated[list[SignalName], BeforeValidator(split_text)] = Field(
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
