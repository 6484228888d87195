from __future__ import annotations

import pytest
import torch

from gzsl_dist.losses.similarities import pair_logits


@pytest.mark.parametrize(
    ("similarity", "adaptive", "attract", "repel"),
    [
        # m = 0.25, g = 8. Adaptive: -8 [1.25 - s]_+ (s - 0.75) and 8 [s + 0.25]_+ (s - 0.25).
        (1.0, True, -0.5, 7.5),
        (0.75, True, 0.0, 4.0),
        (0.25, True, 4.0, 0.0),
        (0.0, True, 7.5, -0.5),
        (-0.25, True, 12.0, 0.0),
        (-1.0, True, 31.5, 0.0),
        (1.5, True, 0.0, 17.5),  # beyond a cosine, as rounding may give: the weight is 0
        # Fixed: -8 (s - 0.25) and 8 (s + 0.25).
        (1.0, False, -6.0, 10.0),
        (0.0, False, 2.0, 2.0),
        (-1.0, False, 10.0, -6.0),
    ],
)
def test_exponents_by_hand(similarity: float, adaptive: bool, attract: float, repel: float) -> None:
    s = torch.tensor(similarity, dtype=torch.float64)
    result = pair_logits(s, margin=0.25, scale=8.0, adaptive=adaptive)
    assert [value.item() for value in result] == [attract, repel]


def test_weights_carry_no_gradient() -> None:
    s = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    attract, repel = pair_logits(s, margin=0.25, scale=8.0, adaptive=True)
    assert torch.autograd.grad(attract, s)[0].item() == -8 * 0.75
    assert torch.autograd.grad(repel, s)[0].item() == 8 * 0.75
