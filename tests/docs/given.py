"""What the text before a page's Python examples says that there is."""

from __future__ import annotations

from typing import Any

from gzsl_dist.data.digits import digits_dataset


def names_of(page: str) -> dict[str, Any]:
    """Values by name, for a file in docs."""
    if page != "data.md":
        return {}
    digits = digits_dataset()
    return {
        "features": digits.features,
        "labels": digits.labels,
        "names": digits.classes,
        "semantics": digits.semantics,
        "unseen": digits.unseen_classes,
    }
