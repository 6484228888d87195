"""Settings of the losses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gzsl_dist.config.section import Fraction, PositiveFloat, Section, Weight


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
