"""`Dataset.from_arrays`: the draw, what it writes down, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gzsl_dist import Dataset
from gzsl_dist.data.dataset import summary
from gzsl_dist.data.store import read_dataset
from gzsl_dist.errors import InputError

LABELS = ["horse"] * 10 + ["tiger"] * 5 + ["cow"] * 5
SEMANTICS = {"horse": [0, 1], "zebra": [1, 1], "tiger": [1, 0], "cow": [2, 1]}
FEATURES = np.random.default_rng(0).random((20, 3))


def made(**changed: Any) -> Dataset:
    given: dict[str, Any] = {"features": FEATURES, "labels": LABELS, "semantics": SEMANTICS}
    return Dataset.from_arrays(**given | changed)


def test_a_class_without_rows_is_unseen_and_the_draw_is_written_down(tmp_path: Path) -> None:
    data = made(seed=3)
    assert [data.classes[number] for number in data.unseen_classes] == ["zebra"]
    held = np.bincount(data.labels[data.splits["test_seen"]], minlength=4)
    assert held.tolist() == [2, 0, 1, 1]
    data.save(tmp_path / "data.h5")
    read = read_dataset(tmp_path / "data.h5")
    assert "0.2 of each class drawn by seed 3" in summary(read)
    assert read.fingerprint == data.fingerprint == made(seed=3).fingerprint
    assert read.fingerprint != made(seed=4).fingerprint


def test_given_splits_and_classes() -> None:
    splits = (["train"] * 9 + ["test"]) + ["train"] * 4 + ["test"] + [""] * 5
    data = made(splits=splits, unseen=["cow"], validation=["tiger"])
    assert data.splits["test_seen"].tolist() == [9, 14]
    assert data.splits["test_unseen"].tolist() == [15, 16, 17, 18, 19]
    assert data.splits["val"].tolist() == [10, 11, 12, 13]
    assert data.splits["train"].tolist() == list(range(9))
    assert data.missing == ()


def test_labels_may_be_numbers_and_rows_all_to_train_on() -> None:
    data = made(
        labels=np.repeat([7, 8], 10), semantics={7: [0, 1], 8: [1, 0], 9: [1, 1]}, held_out=0
    )
    assert data.classes == ("7", "8", "9")
    assert not len(data.splits["test_seen"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": [*LABELS[:-1], "yak"]}, "class 'yak' has 1 rows but no semantics"),
        ({"labels": LABELS[1:]}, "features have shape"),
        ({"features": FEATURES[0]}, "a matrix of numbers"),
        ({"features": np.ones((20, 3))}, "all rows of features are equal"),
        ({"features": FEATURES * np.nan}, "NaN or infinite"),
        ({"features": FEATURES * 1e300}, "NaN or infinite"),
        ({"semantics": SEMANTICS | {"zebra": [1, 1, 1]}}, r"'zebra' have shape \(3,\)"),
        ({"semantics": SEMANTICS | {"zebra": ["a", "b"]}}, "must be numbers"),
        ({"semantics": SEMANTICS | {"zebra": [1, 0]}}, "'zebra' and 'tiger' have the same"),
        ({"semantics": SEMANTICS | {"ze\nbra": [3, 0]}}, "give it a readable one"),
        ({"semantics": SEMANTICS | {"ze\0bra": [3, 0]}}, "give it a readable one"),
        ({"semantics": {1: [0], "1": [1]}, "labels": [1] * 20}, "both called '1'"),
        ({"labels": [*LABELS[:-1], "zebra"]}, "class 'zebra' has one row"),
        ({"unseen": ["yak"]}, "'yak' is named unseen"),
        ({"unseen": ["horse", "tiger"]}, "1 seen class"),
        ({"splits": ["train"]}, "splits must be"),
        ({"splits": ["trian"] * 20}, "splits must be"),
        ({"held_out": 1.0}, "below 1"),
        ({"held_out": "0.2"}, "held out share 0.2: must be"),
        ({"labels": [[label] for label in LABELS]}, r"\['\w+'\] is no label; give one class"),
        ({"labels": [1] * 20, "semantics": {"1": [0], "2": [1]}}, "of another type that reads"),
        ({"semantics": np.eye(4)}, r"semantics are ndarray; give a vector by class: dict\(zip"),
        ({"features": [[1.0], [1.0, 2.0]]}, "features are no matrix"),
        ({"features": torch.ones(20, 2, requires_grad=True)}, "features are no matrix .*detach"),
        ({"features": FEATURES[:0], "labels": []}, "every class is unseen; at least two"),
        ({"validation": ["horse", "tiger", "cow"]}, "every seen class is a validation class"),
        ({"seed": -1}, "seed -1 is not a whole number"),
        ({"semantics": {}, "labels": [], "features": FEATURES[:0]}, "hold no class"),
        (
            {"semantics": {k: v for k, v in SEMANTICS.items() if k != "zebra"}},
            "all 3 classes are seen",
        ),
    ],
)
def test_refused_in_one_line(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        made(**changed)
    assert "\n" not in str(caught.value)


def test_labels_of_torch_are_numbers_as_others() -> None:
    numbers = [list(SEMANTICS).index(label) for label in LABELS]
    semantics = dict(enumerate(SEMANTICS.values()))
    of_torch = made(labels=torch.tensor(numbers), semantics=semantics)
    assert of_torch.fingerprint == made(labels=numbers, semantics=semantics).fingerprint
