"""The floor of a step: the matrix products that its mathematics needs (docs/performance.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gzsl_dist.config import Config
    from gzsl_dist.config.loss import SideWeights


@dataclass(frozen=True)
class Product:
    """``(rows, inner) @ (inner, columns)``; weight gradients have their left factor transposed."""

    name: str
    rows: int
    inner: int
    columns: int
    transposed: bool = False

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.inner * self.columns


def layer(
    name: str, rows: int, inputs: int, outputs: int, *, weight: bool, inputs_too: bool
) -> list[Product]:
    """Products of a linear layer: forward, and the gradients that are needed."""
    products = [Product(name, rows, inputs, outputs)]
    if weight:
        products.append(Product(f"{name}: gradient of weights", outputs, rows, inputs, True))
    if inputs_too:
        products.append(Product(f"{name}: gradient of inputs", rows, outputs, inputs))
    return products


def critic_products(config: Config, shape: Any, batch: int) -> list[Product]:
    """Products of a critic step: synthesis without gradient, critic, embedding and its losses."""
    sizes, weights = config.model, config.loss.critic
    few = min(batch, shape.classes)  # a class's part of a layer, once for each class or row
    both = {"weight": True, "inputs_too": False}
    width, hidden = shape.feature_dim, sizes.critic_hidden
    products = [
        *synthesis(config, shape, batch, few, weight=False),
        *layer("critic, rows", 2 * batch, width, hidden, **both),
        *layer("critic, classes", few, shape.semantic_dim, hidden, **both),
        Product("penalty", batch, hidden, width),
        Product("penalty: gradient of weights", hidden, batch, width, True),
    ]
    if weights.active():
        products += layer("embedding", batch, width, sizes.embedding_dim, **both)
    return products + contrast_products(config, shape, batch, weights, trained=True)


def generator_products(config: Config, shape: Any, batch: int) -> list[Product]:
    """Products of a generator step: through the frozen critic, embedding and losses."""
    sizes, weights = config.model, config.loss.generator
    few = min(batch, shape.classes)
    frozen = {"weight": False, "inputs_too": True}
    width = shape.feature_dim
    products = [
        *synthesis(config, shape, batch, few, weight=True),
        *layer("critic, rows", batch, width, sizes.critic_hidden, **frozen),
        Product("critic, classes", few, shape.semantic_dim, sizes.critic_hidden),
    ]
    if weights.active():
        products += layer("embedding", batch, width, sizes.embedding_dim, **frozen)
    if "instance" in weights.active():
        products.append(Product("embedding of real rows", batch, width, sizes.embedding_dim))
    return products + contrast_products(config, shape, batch, weights, trained=False)


def synthesis(config: Config, shape: Any, batch: int, few: int, *, weight: bool) -> list[Product]:
    hidden = config.model.generator_hidden
    return [
        *layer(
            "generator, noise",
            batch,
            config.model.noise_dim,
            hidden,
            weight=weight,
            inputs_too=False,
        ),
        *layer(
            "generator, classes", few, shape.semantic_dim, hidden, weight=weight, inputs_too=False
        ),
        *layer(
            "generator, output", batch, hidden, shape.feature_dim, weight=weight, inputs_too=weight
        ),
    ]


def contrast_products(
    config: Config, shape: Any, batch: int, weights: SideWeights, *, trained: bool
) -> list[Product]:
    """Products of projection, prototypes, instances and comparator; its pairs are no product."""
    sizes, classes = config.model, shape.classes
    whole = {"weight": trained, "inputs_too": True}
    last = {"weight": trained, "inputs_too": False}
    wide, narrow = sizes.embedding_dim, sizes.projection_dim
    products = []
    if "prototype" in weights.active() or "instance" in weights.active():
        products += layer("projection", batch, wide, narrow, **whole)
    if "prototype" in weights.active():
        between = sizes.prototype_hidden
        products += layer("prototypes, hidden", classes, shape.semantic_dim, between, **last)
        products += layer(
            "prototypes, output", classes, between, narrow, weight=trained, inputs_too=trained
        )
        products.append(Product("prototypes by rows", classes, narrow, batch))
        products.append(Product("prototypes by rows: gradient of rows", batch, classes, narrow))
        if trained:
            products.append(Product("prototypes by rows: of prototypes", classes, batch, narrow))
    if "instance" in weights.active():
        rows = batch if trained else 2 * batch  # the generator's also meet real rows
        if not trained:
            products.append(Product("projection of real rows", batch, wide, narrow))
        products.append(Product("rows by rows", rows, narrow, rows))
        products += [
            Product(f"rows by rows: gradient of {which}", batch, rows, narrow)
            for which in ("anchors", "others")
        ]
    if "comparator" in weights.active():
        between, compared = sizes.comparator_hidden, compared_classes(config, shape)
        products += layer("comparator, rows", batch, wide, between, **whole)
        products += layer("comparator, classes", compared, shape.semantic_dim, between, **last)
    return products


def compared_classes(config: Config, shape: Any) -> int:
    """How many classes the comparator compares a row with."""
    return int(config.loss.sampled_classes(shape.classes) or shape.classes)


def pair_runner(
    config: Config, shape: Any, batch: int, side: str, device: Any
) -> Callable[[], None] | None:
    """A function that does the vector operations of the comparator's pairs; None without pairs.

    One pass over ``rows x classes x hidden`` values forward and one back for the rows, on the
    critic's side another for the classes: each a comparison of two values, a product and a sum, on
    blocks that lie ready in a cache.
    """
    import torch

    from gzsl_dist.models.comparator import BLOCK

    if "comparator" not in getattr(config.loss, side).active():
        return None
    hidden = config.model.comparator_hidden
    values = (3 if side == "critic" else 2) * batch * compared_classes(config, shape) * hidden
    block = torch.randn(BLOCK // hidden, hidden, device=device)
    row, weight = torch.randn(hidden, device=device), torch.randn(hidden, device=device)
    larger, sums = torch.empty_like(block), torch.empty(len(block), device=device)

    def run() -> None:
        for _ in range(-(-values // block.numel())):
            torch.maximum(block, row, out=larger)
            torch.mv(larger, weight, out=sums)

    return run


def runner(products: list[Product], device: Any, dtype: Any) -> Callable[[], None]:
    """A function that computes the products, each from factors to a result that lie ready.

    Equal shapes share their memory, whose values do not matter.
    """
    import torch

    held: dict[tuple[int, int], Any] = {}

    def matrix(rows: int, columns: int) -> Any:
        if (rows, columns) not in held:
            held[rows, columns] = torch.randn(rows, columns, device=device, dtype=dtype)
        return held[rows, columns]

    results: dict[tuple[int, int], Any] = {}
    tasks = []
    for product in products:
        if product.transposed:
            left = matrix(product.inner, product.rows).T
            right = matrix(product.inner, product.columns)
        elif "gradient" in product.name:
            left = matrix(product.rows, product.inner)
            right = matrix(product.inner, product.columns)
        else:  # weights are (outputs, inputs)
            left = matrix(product.rows, product.inner)
            right = matrix(product.columns, product.inner).T
        size = (product.rows, product.columns)
        if size not in results:
            results[size] = torch.empty(size, device=device, dtype=dtype)
        tasks.append((left, right, results[size]))

    def run() -> None:
        for left, right, result in tasks:
            torch.mm(left, right, out=result)

    return run
