"""Help for the model tests: weights that are not tiny, and gradients of parameters."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def randomized(module: Module, seed: int = 0) -> Module:
    """The module in float64 with weights and biases from N(0, 1), so that each of them matters."""
    module.double()
    with torch.no_grad():
        for offset, parameter in enumerate(module.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=1000 * seed + offset))
    return module


def concatenated_mlp(
    first_layers: tuple[nn.Linear, nn.Linear], output: nn.Linear | Tensor, slope: float = 0.2
) -> nn.Sequential:
    """The plain network on ``[x; a]`` whose first layer two linear layers are the parts of."""
    left, right = first_layers
    hidden = nn.Linear(left.in_features + right.in_features, left.out_features).double()
    last = nn.Linear(left.out_features, 1).double()
    with torch.no_grad():
        hidden.weight.copy_(torch.cat([left.weight, right.weight], dim=1))
        hidden.bias.copy_(left.bias)
        last.weight.copy_(output.weight if isinstance(output, nn.Linear) else output)
        last.bias.copy_(output.bias if isinstance(output, nn.Linear) else torch.zeros(1))
    return nn.Sequential(hidden, nn.LeakyReLU(slope), last)


def gradients(value: Tensor, module: nn.Module) -> dict[str, Tensor]:
    """Gradients of a scalar by parameter name; zeros where it does not depend on the parameter."""
    names, parameters = zip(*module.named_parameters(), strict=True)
    grads = torch.autograd.grad(value, parameters, retain_graph=True, materialize_grads=True)
    return dict(zip(names, grads, strict=True))


def assert_gradients_match(split: dict[str, Tensor], mlp: dict[str, Tensor], left: str) -> None:
    """Gradients of a network with a split first layer equal those of the concatenated MLP."""
    expected = {
        f"{left}.weight": mlp["0.weight"][:, : split[f"{left}.weight"].shape[1]],
        "hidden_semantic.weight": mlp["0.weight"][:, split[f"{left}.weight"].shape[1] :],
        f"{left}.bias": mlp["0.bias"],
    }
    if "output" in split:  # a vector without a bias
        expected |= {"output": mlp["2.weight"][0]}
    else:
        expected |= {"output.weight": mlp["2.weight"], "output.bias": mlp["2.bias"]}
    assert split.keys() == expected.keys()
    for name, gradient in split.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-10, atol=1e-12, msg=name)
