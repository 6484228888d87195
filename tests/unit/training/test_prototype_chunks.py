"""Very many prototypes go through their loss in chunks, which change nothing but memory."""

from __future__ import annotations

import pytest
import torch

from gzsl_dist.distributed.processes import Processes
from gzsl_dist.training import embedding_losses
from gzsl_dist.training.objectives import CriticObjective
from tests.distributed.test_gradients import CLASSES, SETTINGS, build, gradients, setting

ALONE = Processes(0, 1, torch.device("cpu"))


def loss_and_gradients(batch_size: int) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """Of a critic step, and the number of values of the largest block in the prototypes' loss."""
    networks, semantics, batches = build(
        config := setting("iapc", batch_size), torch.float64, slice(0, batch_size)
    )
    batch, largest = batches.batch(0), 0

    def watched(*arguments: object, **settings: object) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, len(arguments[0]) * len(arguments[2]))  # type: ignore[arg-type]
        return plain(*arguments, **settings)  # type: ignore[arg-type]

    plain = embedding_losses.prototype_loss
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding_losses, "prototype_loss", watched)
        fake = networks.generator(batch.noise, semantics[batch.labels]).detach()
        loss = CriticObjective(networks, semantics, config, ALONE)(batch, fake)[0]
        loss.backward()
    return loss.detach(), gradients(networks), largest


@pytest.mark.parametrize("block", [1, 50])  # a class at a time; some classes
def test_chunks_give_the_same_loss_and_gradients(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "iapc", {"method": "iapc"})
    loss, expected, whole = loss_and_gradients(24)
    assert whole == 24 * CLASSES
    monkeypatch.setattr(embedding_losses, "BLOCK", block)
    chunked, found, largest = loss_and_gradients(24)
    assert largest <= max(block, 24)
    torch.testing.assert_close(chunked, loss, rtol=1e-12, atol=0)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-13)
