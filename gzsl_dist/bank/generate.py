"""Synthetic rows of given classes, each a function of (seed, class, row) alone."""

from __future__ import annotations

import torch
from torch import Tensor

from gzsl_dist.data.draws import Stream, normals
from gzsl_dist.models.generator import Generator


@torch.no_grad()
def synthesize_class(
    generator: Generator, semantics: Tensor, *, number: int, rows: slice, seed: int
) -> Tensor:
    """Synthesize rows of one class.

    Args:
        generator: trained generator.
        semantics: ``(d_a,)`` of the class, scaled as in training.
        number: the class's number in the data set, which decides the noise.
        rows: which of the class's rows.
        seed: decides the noise.

    Returns:
        ``(rows, d_x)`` scaled features on the generator's device.
    """
    weight = generator.output.weight
    noise = normals(seed, Stream.BANK, number, rows, generator.noise_dim).to(weight)
    repeated = semantics.to(weight).expand(len(noise), -1)
    rows_of_class: Tensor = generator(noise, repeated)
    return rows_of_class
