"""Settings of the run directory and of the data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gzsl_dist.config.section import InMemory, PathText, PositiveFloat, Section

EMBEDDED = "digits"
"""The name of the embedded data set."""


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
