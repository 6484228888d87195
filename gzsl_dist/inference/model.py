"""A trained model as one file: from features as the user has them to class probabilities."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors.torch import save
from torch import Tensor, nn

from gzsl_dist.data.features import BLOCK_ROWS
from gzsl_dist.data.scaling import Scaling
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.classifier_space import ClassifierSpace
from gzsl_dist.files import atomic_write
from gzsl_dist.models.embedding import Embedding

FORMAT_VERSION = 1

NEEDS_RUN = (
    "new classes need its run directory (generator and training features), or a folder that gzsl "
    "export --out FOLDER makes of it"
)


@dataclass(frozen=True)
class ModelCard:
    """What a model is; kept as JSON in its file's header.

    Attributes:
        classes: names, seen ones first, of which there are `seen_count`.
        calibration_factor: subtracted from the log-probabilities of seen classes (calibrated
            stacking, Chao et al., ECCV 2016), as validation classes chose; None: not calibrated.
        feature_dim: d_x.
        embedding_dim: size of h, and `projection_dim` of u; 0 without an embedding network.
        space: of the classifier's input, and ``unit_length``:
            `gzsl_dist.evaluation.classifier_space.ClassifierSpace`.
        transform: of features, before they are scaled; `gzsl_dist.data.scaling.Scaling`.
        precision: ``float32`` or ``float64``.
        dataset: ``name`` and ``fingerprint``.
        steps: generator steps trained.
        origin: how features and semantics were made; `gzsl_dist.data.dataset.Dataset`.
    """

    classes: tuple[str, ...]
    seen_count: int
    calibration_factor: float | None
    feature_dim: int
    embedding_dim: int
    projection_dim: int
    space: str
    unit_length: bool
    transform: str
    precision: str
    method: str
    dataset: dict[str, str]
    steps: int
    seed: int
    format_version: int = FORMAT_VERSION
    origin: dict[str, Any] = field(default_factory=dict)


class ZeroShotModel(nn.Module):
    """Scaling, embedding, softmax classifier and calibration.

    Args:
        card: what it is; weights mean nothing until they are loaded.

    Attributes:
        run: the directory that it was loaded from; None where it was a file alone.
        learn: what `add_classes` calls with the model and the classes; None without a run.
        added: semantics ``(d_a,)`` of the classes that `add_classes` has added since.
    """

    minimum: Tensor
    extent: Tensor

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.card = card
        self.run: Path | None = None
        self.learn: Callable[[ZeroShotModel, Mapping[str, ArrayLike]], ZeroShotModel] | None = None
        self.added: dict[str, NDArray[np.float32]] = {}
        count = len(card.classes)
        self.space = ClassifierSpace(card.space, card.unit_length)
        width = self.space.width(card.feature_dim, card.embedding_dim, card.projection_dim)
        self.embedding = None
        if card.embedding_dim:
            self.embedding = Embedding(card.feature_dim, card.embedding_dim, card.projection_dim)
        self.register_buffer("minimum", torch.zeros(card.feature_dim))
        self.register_buffer("extent", torch.ones(card.feature_dim))
        self.classifier = nn.Linear(width, count)
        self.to(torch.float64 if card.precision == "float64" else torch.float32)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def of(
        cls,
        card: ModelCard,
        embedding: Embedding | None,
        scaling: Scaling,
        weight: Tensor,
        bias: Tensor,
    ) -> ZeroShotModel:
        """Put trained parts together, the last two the classifier's; they are copied to the CPU."""
        model = cls(card)
        parts = {
            "minimum": torch.from_numpy(scaling.minimum),
            "extent": torch.from_numpy(scaling.extent),
            "classifier.weight": weight,
            "classifier.bias": bias,
        }
        if embedding is not None:
            for name, value in embedding.state_dict().items():
                parts[f"embedding.{name}"] = value
        model.load_state_dict(parts)
        return model

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes, seen ones first."""
        return self.card.classes

    @property
    def seen_classes(self) -> tuple[str, ...]:
        """Names of the classes that had training rows."""
        return self.classes[: self.card.seen_count]

    @property
    def unseen_classes(self) -> tuple[str, ...]:
        """Names of the classes known by their semantics alone."""
        return self.classes[self.card.seen_count :]

    @property
    def is_calibrated(self) -> bool:
        """Whether seen classes are held back by a factor that validation classes chose."""
        both = 0 < self.card.seen_count < len(self.classes)
        return both and self.card.calibration_factor is not None

    def forward(self, features: Tensor) -> Tensor:
        """Calibrated class probabilities ``(rows, classes)`` of unscaled ``(rows, d_x)``."""
        scores = torch.log_softmax(self.classifier(self._inputs(features)), dim=1)
        if self.is_calibrated:
            held_back = torch.zeros_like(scores[:1])
            held_back[:, : self.card.seen_count] = self.card.calibration_factor or 0.0
            scores = scores - held_back
        return torch.softmax(scores, dim=1)

    def _inputs(self, features: Tensor) -> Tensor:
        """The classifier's input ``(rows, d)`` of unscaled ``(rows, d_x)``."""
        if self.card.transform == "sqrt":
            features = features.sign() * features.abs().sqrt()
        elif self.card.transform == "log1p":
            features = features.sign() * features.abs().log1p()
        return self.space.inputs((features - self.minimum) / self.extent, self.embedding)

    @torch.no_grad()
    def predict_proba(self, features: ArrayLike) -> NDArray[np.floating[Any]]:
        """Probabilities ``(rows, classes)`` of features ``(rows, d_x)``, in the order of `classes`.

        With calibration, they are those after holding seen classes back, and sum up to 1.

        Raises:
            InputError: features of another width, or NaN or infinite ones.
        """
        array = np.asarray(features)
        if array.ndim != 2 or array.shape[1] != self.card.feature_dim:
            raise InputError(
                f"features have shape {array.shape}; this model takes rows of "
                f"{self.card.feature_dim} values: use the features it was trained on "
                f"({self.card.dataset['name']})"
            )
        if array.dtype.kind not in "fiu":
            raise InputError(f"features are {array.dtype}; give numbers")
        parts = [np.empty((0, len(self.classes)))]
        for first in range(0, len(array), BLOCK_ROWS):
            block = array[first : first + BLOCK_ROWS].astype(np.float32)
            bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
            if len(bad):
                raise InputError(
                    f"features have NaN or infinite values, first in row {first + bad[0]} (from "
                    "0); repair or drop such rows"
                )
            parts.append(self(torch.from_numpy(block).to(self.minimum)).cpu().numpy())
        found: NDArray[np.floating[Any]] = np.concatenate(parts)
        return found

    def predict(self, features: ArrayLike) -> NDArray[np.str_]:
        """Class names ``(rows,)`` of features ``(rows, d_x)``; errors as in `predict_proba`."""
        chosen = self.predict_proba(features).argmax(axis=1)
        names: NDArray[np.str_] = np.array(self.classes)[chosen]
        return names

    def predict_images(
        self, paths: Sequence[str | Path], *, image_encoder: str | None = None
    ) -> NDArray[np.str_]:
        """Class names ``(images,)`` of image files, by the encoder that the training data name.

        Args:
            paths: files; folders stand for all images below them, in the order of their names.
            image_encoder: ``KIND:NAME`` where it lies elsewhere now; checked by hash.

        Raises:
            InputError: an image cannot be read, no encoder is known, or it is another one.
        """
        from gzsl_dist.extraction.images import unlabelled_images
        from gzsl_dist.extraction.recorded import encode_images

        entries = unlabelled_images([Path(path) for path in paths])
        return self.predict(encode_images(self.card.origin, entries, image_encoder)[0])

    def add_classes(self, classes: Mapping[str, ArrayLike]) -> ZeroShotModel:
        """The run's model that knows new classes besides; nothing is trained anew.

        Args:
            classes: a vector ``(d_a,)`` of semantics for each new name.

        Returns:
            Another model; its `save` keeps it, and it learns more in the same way.

        Raises:
            InputError: this one was loaded from a file alone; semantics of another length; a
                class that is known already.
        """
        if self.learn is None:
            raise InputError(f"add_classes: this is a model alone; {NEEDS_RUN}")
        return self.learn(self, classes)

    def restricted(self, names: tuple[str, ...]) -> ZeroShotModel:
        """The same model where these classes alone compete.

        Raises:
            InputError: a name that is no class of the model, or none at all.
        """
        if unknown := [name for name in names if name not in self.classes]:
            raise InputError(
                f"{unknown[0]!r} is no class of this model; it knows {len(self.classes)}, such as "
                f"{self.classes[0]!r} (--add-classes brings in new ones by their semantics)"
            )
        if not names:
            raise InputError("no class is left; name at least one")
        kept = [number for number, name in enumerate(self.classes) if name in set(names)]
        seen_count = sum(number < self.card.seen_count for number in kept)
        classes = tuple(self.classes[number] for number in kept)
        model = ZeroShotModel(replace(self.card, classes=classes, seen_count=seen_count))
        state = self.state_dict()
        for name in ("classifier.weight", "classifier.bias"):
            state[name] = state[name][kept]
        model.load_state_dict(state)
        return model

    def save(self, path: str | Path, **beside: str) -> None:
        """Write weights and card as one safetensors file, whole or not at all.

        Args:
            path: of the file.
            beside: more texts for its header, by name.

        Raises:
            InputError: it cannot be written.
        """
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        header = {"gzsl_dist": json.dumps(asdict(self.card)), **beside}
        atomic_write(Path(path), save(state, header))
