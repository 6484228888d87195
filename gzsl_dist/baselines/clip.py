"""The usual zero-shot classifier of a CLIP: cosine of image features and text features."""

from __future__ import annotations

from collections.abc import Iterator

from torch.nn.functional import normalize

from gzsl_dist.baselines.candidate import Candidate
from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.problem import Problem
from gzsl_dist.errors import InputError

SCALE = 100.0
"""Of the cosines: the most that a CLIP learns (Radford et al., ICML 2021), and what it reaches."""


def clip(problem: Problem) -> Iterator[Candidate]:
    """Score rows by `SCALE` times the cosine to each class's text, seen and unseen alike.

    There is nothing to fit; the calibration factor comes from validation classes as elsewhere.

    Args:
        problem: of features as they are, not scaled to [0, 1].
    """
    texts = SCALE * normalize(problem.semantics.double(), dim=1)
    yield Candidate({}, texts, texts.new_zeros(len(texts)))


def check_clip(dataset: Dataset) -> None:
    """See that one CLIP made both the features and the semantics.

    Raises:
        InputError: they have several lengths, or other encoders, or none is recorded.
    """
    sizes = dataset.features.shape[1], dataset.semantics.shape[1]
    images, texts = (dataset.origin.get(f"{kind}_encoder") or {} for kind in ("image", "text"))
    names = [str(one.get("name", "unknown")) for one in (images, texts)]
    remedy = "make the data by gzsl_dist.extract with one open_clip: model as both encoders"
    if sizes[0] != sizes[1]:
        raise InputError(
            f"method clip: {dataset.name} has features of {sizes[0]} values and semantics of "
            f"{sizes[1]}, which have no cosine; {remedy}"
        )
    same = images.get("weights_sha256") == texts.get("weights_sha256")
    if not (same and all(name.startswith("open_clip:") for name in names)):
        raise InputError(
            f"method clip: the features of {dataset.name} come from {names[0]}, its semantics from "
            f"{names[1]}, which are not one CLIP; {remedy}"
        )
