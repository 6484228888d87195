"""Settings of the networks and the anchor."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gzsl_dist.config.section import PositiveFloat, PositiveInt, Section


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
