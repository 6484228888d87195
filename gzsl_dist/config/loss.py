"""Settings of the losses: all weights, and a section of each registered loss of the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, NonNegativeInt, create_model

from gzsl_dist.config.section import Section, Weight
from gzsl_dist.losses.registry import EmbeddingLoss, find_losses

if TYPE_CHECKING:
    from gzsl_dist.losses.prototype import PrototypeLoss

LOSSES, BROKEN = find_losses(
    ("gradient_penalty", "critic", "generator", "negatives", "wasserstein", "adversarial", "total")
)


class SideWeights(Section):
    """Weights of the embedding losses in one side's objective; null is the method's preset."""

    def active(self, *compared: str) -> list[str]:
        """Names of the losses that weigh something; if given, of those that compare such things."""
        names = [name for name in LOSSES if getattr(self, name)]
        return [name for name in names if not compared or LOSSES[name].compares in compared]


if not TYPE_CHECKING:
    SideWeights = create_model(
        "SideWeights",
        __base__=SideWeights,
        __module__=__name__,
        **{
            name: (Weight | None, Field(None, description=(loss.__doc__ or name).splitlines()[0]))
            for name, loss in LOSSES.items()
        },
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
    comparator_sample: NonNegativeInt = Field(
        0,
        description="Seen classes that the comparator compares rows with beside their own, drawn "
        "anew for each batch; 0 is all, as published. Fewer of many thousand make a step faster "
        "and the loss smaller, by about log(classes / sample).",
    )
    if TYPE_CHECKING:
        prototype: PrototypeLoss = Field(default_factory=PrototypeLoss)

    def sampled_classes(self, seen_count: int) -> int:
        """How many seen classes each batch draws for the comparator; 0 where it takes all."""
        return min(self.comparator_sample, seen_count)

    def of(self, name: str) -> EmbeddingLoss:
        """A loss of the embedding, as it is set."""
        kind = LOSSES[name]
        if not kind.flat:
            return getattr(self, name)  # type: ignore[no-any-return]
        return kind(**{field: getattr(self, f"{name}_{field}") for field in kind.model_fields})


if not TYPE_CHECKING:
    _fields: dict[str, Any] = {}
    for _name, _loss in LOSSES.items():
        if _loss.flat:
            for _field, _info in _loss.model_fields.items():
                _fields[f"{_name}_{_field}"] = (_info.annotation, _info)
        else:
            _fields[_name] = (_loss, Field(default_factory=_loss))
    LossSettings = create_model(
        "LossSettings", __base__=LossSettings, __module__=__name__, **_fields
    )
