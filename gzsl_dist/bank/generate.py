"""Synthetic rows, each a function of (seed, class, row of the class) alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gzsl_dist.bank.layout import BankInfo
from gzsl_dist.data.draws import Stream, normals
from gzsl_dist.data.scaling import scale_semantics
from gzsl_dist.models.embedding import Embedding
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
    all_of_it = torch.zeros(len(noise), dtype=torch.int64, device=weight.device)
    rows_of_class: Tensor = generator(noise, semantics.to(weight)[None], all_of_it)
    return rows_of_class


class BlockMaker:
    """Makes blocks of a bank; see `gzsl_dist.bank.shard_file.MakeBlock`.

    Noise is drawn class by class, but the networks see a block as one batch: a matrix product's
    rounding depends on its shape, and a block's shape is the same at any number of processes.

    Args:
        generator: trained generator.
        embedding: its embedding network, whose h is stored too; None for features alone.
        info: what the bank holds.
    """

    def __init__(self, generator: Generator, embedding: Embedding | None, info: BankInfo) -> None:
        self._generator, self._embedding, self._info = generator, embedding, info
        self._semantics = torch.from_numpy(scale_semantics(info.semantics, info.semantics_norm))
        self._ends = info.ends

    @torch.no_grad()
    def __call__(self, rows: slice) -> dict[str, Tensor]:
        """``features`` ``(rows, d_x)`` and, where asked for, ``embeddings`` ``(rows, d)``."""
        weight, noise, labels = self._generator.output.weight, [], []
        for run in range(
            int(np.searchsorted(self._ends, rows.start, side="right")),
            int(np.searchsorted(self._ends, rows.stop - 1, side="right")) + 1,
        ):
            end = int(self._ends[run])
            first = end - int(self._info.counts[run])
            part = slice(max(rows.start, first) - first, min(rows.stop, end) - first)
            label = int(self._info.labels[run])
            width = self._generator.noise_dim
            noise.append(normals(self._info.seed, Stream.BANK, label, part, width))
            labels.append(torch.full((part.stop - part.start,), label))
        features: Tensor = self._generator(
            torch.cat(noise).to(weight),
            self._semantics.to(weight),
            torch.cat(labels).to(weight.device),
        )
        made = {"features": features}
        if self._embedding is not None:
            made["embeddings"] = self._embedding(features)[0]
        if self._info.units == "original":
            original = self._info.scaling.restore(features.cpu().numpy())
            made["features"] = torch.from_numpy(original)
        return made
