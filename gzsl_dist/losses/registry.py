"""What a loss of the embedding is, and which there are: settings are read, so without torch."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Collection
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from torch import Tensor

GROUP = "gzsl_dist.losses"
"""Entry points of other packages' losses; each is a subclass of `EmbeddingLoss`."""
Margin = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
KINDS = ("prototypes", "rows", "classes")


class EmbeddingLoss(BaseModel):
    """A loss of the embedding: its fields are its settings, to call it is its formula.

    Processes, micro-batches and chunks each compute a part of a loss, and the parts add up to it.
    What is compared decides what a part is given, and what the parts are of:

    - ``prototypes``: ``(embeddings, labels, prototypes, *, total)``, unit vectors ``(rows, d_u)``
      of some of the `total` rows of the global batch, and ``(seen classes, d_u)`` unit vectors;
    - ``rows``: ``(embeddings, labels, *, anchors)``, unit vectors ``(batch, d_u)`` of all rows, of
      which the slice `anchors` are compared with all;
    - ``classes``: ``(scores, labels, *, total)``, the comparator's scores ``(rows, seen classes)``
      of some of the `total` rows; with `loss.comparator_sample` ``(rows, 1 + sample)``, the first
      of a row's own class (all labels are 0), minus infinity where the sample has that again.

    The first line of a subclass's docstring describes its weights, ``loss.critic.NAME`` and
    ``loss.generator.NAME``; its fields are the settings ``loss.NAME.FIELD``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    compares: ClassVar[Literal["prototypes", "rows", "classes"]]
    flat: ClassVar[bool] = False
    """Whether its settings are called ``loss.NAME_FIELD``."""

    @property
    def by_class(self) -> bool:
        """Whether parts are of prototypes: ``(all rows, labels, some prototypes, *, classes,
        class_count)`` with the slice of classes that they are of, and the number of all."""
        return False

    def __call__(self, *inputs: Any, **part: Any) -> Tensor:
        """A part of the loss, before weighting."""
        raise NotImplementedError


def find_losses(taken: Collection[str]) -> tuple[dict[str, type[EmbeddingLoss]], str | None]:
    """All losses by name: a file each in this folder, then the entry points of other packages.

    Args:
        taken: names that no loss may have.

    Returns:
        The losses, and what is wrong with the first file or entry point that gives none.
    """
    broken = None
    for module in pkgutil.iter_modules(sys.modules[GROUP].__path__):
        try:
            importlib.import_module(f"{GROUP}.{module.name}")
        except Exception as error:  # whatever a user's code raises
            broken = broken or f"loss {_place(error)}: cannot be used ({_reason(error)}); mend it"
    own = [loss for loss in EmbeddingLoss.__subclasses__() if loss.__module__.startswith(GROUP)]
    found: dict[str, type[EmbeddingLoss]] = {}
    for loss in own:  # in the order of their imports, those that are here first
        if loss.name in {*found, *taken}:
            file = sys.modules[loss.__module__].__file__
            broken = broken or f"loss {file}: the name {loss.name} is taken; give it another"
        else:
            found[loss.name] = loss
    names = sorted(found, key=lambda name: (KINDS.index(found[name].compares), name))
    found = {name: found[name] for name in names}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.value):
        try:
            loss = entry.load()
            if not issubclass(loss, EmbeddingLoss) or loss.compares not in KINDS:
                raise TypeError(f"is no EmbeddingLoss that compares one of {', '.join(KINDS)}")
            if loss.name in {*found, *taken}:
                raise ValueError(f"the name {loss.name} is taken")
            found[loss.name] = loss
        except Exception as error:
            text = f"loss {entry.value}: cannot be used ({_reason(error)}); mend or uninstall it"
            return found, broken or text
    return found, broken


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _place(error: Exception) -> str:
    """File and line of a file that cannot be imported."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    last = [frame for frame in frames if "importlib" not in frame.filename][-1]
    return f"{last.filename}, line {last.lineno}"
