"""Conditional generator of visual features (f-CLSWGAN, Xian et al., CVPR 2018; CE-GZSL).

With an anchor (`gzsl_dist.models.anchor`, ours) it learns what the anchor leaves.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear, relu

from gzsl_dist.models.anchor import Anchor
from gzsl_dist.models.class_layer import for_rows
from gzsl_dist.models.initialize import initialize


class Generator(nn.Module):
    """G: [z; a] -> hidden, LeakyReLU 0.2 -> d_x, plus m(a) where there is an anchor, ReLU.

    CE-GZSL's `hidden_dim` is 4096; without an anchor it is the published form.
    """

    def __init__(
        self,
        noise_dim: int,
        semantic_dim: int,
        hidden_dim: int,
        feature_dim: int,
        anchor: Anchor | None = None,
    ) -> None:
        super().__init__()
        self.noise_dim = noise_dim
        self.hidden = NoiseAndClass(noise_dim + semantic_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, feature_dim)
        self.anchor = anchor
        initialize(self)

    def forward(self, noise: Tensor, semantics: Tensor, labels: Tensor | None = None) -> Tensor:
        """Synthesize ``(rows, d_x)`` features >= 0 from ``(rows, d_z)`` and ``(rows, d_a)``.

        With ``(rows,)`` labels, `semantics` are those of all classes, ``(classes, d_a)``.
        """
        hidden = self.hidden(noise, semantics, labels)
        learned: Tensor = self.output(leaky_relu(hidden, 0.2))
        if self.anchor is not None:
            learned = learned + for_rows(self.anchor, semantics, labels)
        return relu(learned)


class NoiseAndClass(nn.Linear):
    """A linear layer of [z; a], whose part for the class is computed once for each class."""

    def forward(  # type: ignore[override]
        self, noise: Tensor, semantics: Tensor, labels: Tensor | None
    ) -> Tensor:
        """``(rows, hidden)``; arguments as those of the generator."""
        of_noise, of_class = self.weight.split((noise.shape[1], semantics.shape[1]), dim=1)
        classes = for_rows(lambda some: linear(some, of_class), semantics, labels)
        return linear(noise, of_noise, self.bias) + classes
