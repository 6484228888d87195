"""What each method is: the loss weights and forms that `method` fills in.

A preset fills in only what nobody gave, so every weight stays a setting of its own. A loss that a
preset does not name has weight 0.
"""

from __future__ import annotations

from typing import Any

Weights = dict[str, float]


def _preset(
    critic: Weights,
    generator: Weights | None = None,
    *,
    form: str,
    adaptive: bool = False,
    space: str = "h",
) -> dict[str, Any]:
    """Weights of the critic's side, and of the generator's where they differ."""
    forms = {"prototype": {"adaptive": adaptive}, "instance": {"form": form}}
    weights = {"critic": critic, "generator": critic if generator is None else generator}
    return {"loss": weights | forms, "evaluation": {"space": space}}


PRESETS = {
    "iapc": _preset(
        {"prototype": 1.0, "instance": 1.0, "comparator": 1.0}, form="adaptive", adaptive=True
    ),
    "proxy_anchor": _preset({"prototype": 1.0}, form="fixed"),
    "supcon": _preset({"instance": 1.0}, form="supcon"),
    "ce_gzsl": _preset(
        {"instance": 1.0, "comparator": 1.0},
        {"instance": 0.001, "comparator": 0.001},
        form="supcon",
    ),
    "wgan": _preset({}, form="fixed", space="x"),
}
"""What `method` fills in where nothing else is given. All methods share one harness."""

BASELINES = ("ridge", "nearest_prototype", "clip")
"""Methods without networks, in closed form (`gzsl_dist.baselines`); no loss, no step."""
PRESETS |= dict.fromkeys(BASELINES, PRESETS["wgan"])

UNSCALED = ("clip",)
"""Methods that take features as they are, not scaled to [0, 1]."""
