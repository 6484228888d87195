"""What each method is: the loss weights and forms that `method` fills in.

A preset fills in only what nobody gave, so every weight stays a setting of its own.
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "iapc": {
        "loss": {
            "critic": {"prototype": 1.0, "instance": 1.0, "comparator": 1.0},
            "generator": {"prototype": 1.0, "instance": 1.0, "comparator": 1.0},
            "prototype": {"adaptive": True},
            "instance": {"form": "adaptive"},
        },
        "evaluation": {"space": "h"},
    },
    "proxy_anchor": {
        "loss": {
            "critic": {"prototype": 1.0, "instance": 0.0, "comparator": 0.0},
            "generator": {"prototype": 1.0, "instance": 0.0, "comparator": 0.0},
            "prototype": {"adaptive": False},
            "instance": {"form": "fixed"},
        },
        "evaluation": {"space": "h"},
    },
    "supcon": {
        "loss": {
            "critic": {"prototype": 0.0, "instance": 1.0, "comparator": 0.0},
            "generator": {"prototype": 0.0, "instance": 1.0, "comparator": 0.0},
            "prototype": {"adaptive": False},
            "instance": {"form": "supcon"},
        },
        "evaluation": {"space": "h"},
    },
    "ce_gzsl": {
        "loss": {
            "critic": {"prototype": 0.0, "instance": 1.0, "comparator": 1.0},
            "generator": {"prototype": 0.0, "instance": 0.001, "comparator": 0.001},
            "prototype": {"adaptive": False},
            "instance": {"form": "supcon"},
        },
        "evaluation": {"space": "h"},
    },
    "wgan": {
        "loss": {
            "critic": {"prototype": 0.0, "instance": 0.0, "comparator": 0.0},
            "generator": {"prototype": 0.0, "instance": 0.0, "comparator": 0.0},
            "prototype": {"adaptive": False},
            "instance": {"form": "fixed"},
        },
        "evaluation": {"space": "x"},
    },
}
"""What `method` fills in where nothing else is given. All methods share one harness."""

BASELINES = ("ridge", "nearest_prototype")
"""Methods without networks, in closed form (`gzsl_dist.baselines`); no loss, no step."""
PRESETS |= dict.fromkeys(BASELINES, PRESETS["wgan"])
