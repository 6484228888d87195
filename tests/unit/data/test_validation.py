"""What `validate` refuses that a pair of xlsa17 files cannot bring about (see test_xlsa17)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gzsl_dist.data.dataset import Dataset
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.validation import validate
from gzsl_dist.errors import InputError

DIGITS = digits_dataset()


def with_splits(**splits: np.ndarray | None) -> Dataset:
    merged = {**DIGITS.splits, **splits}
    return dataclasses.replace(DIGITS, splits={k: v for k, v in merged.items() if v is not None})


def test_the_beginning_of_a_message_can_be_given() -> None:
    wrong = with_splits(trainval=np.empty(0, dtype=np.int64))
    with pytest.raises(InputError, match=r"^data set digits: split trainval is empty"):
        validate(wrong)
    with pytest.raises(InputError, match=r"^some\.file: split trainval is empty"):
        validate(wrong, "some.file")


def test_train_and_val_come_together() -> None:
    validate(with_splits(train=None, val=None))
    with pytest.raises(InputError, match=r"split val alone; .* or neither"):
        validate(with_splits(train=None))


def test_train_and_val_have_no_class_in_common() -> None:
    train = np.append(DIGITS.splits["train"], DIGITS.splits["val"][0])
    with pytest.raises(InputError, match=r"class '\d' is in both train and val"):
        validate(with_splits(train=train))


def test_validation_classes_are_seen() -> None:
    val = np.append(DIGITS.splits["val"], DIGITS.splits["test_unseen"][0])
    with pytest.raises(InputError, match=r"class '\d' is in train or val but has no rows in train"):
        validate(with_splits(val=val))


def test_train_may_hold_rows_of_test_seen_as_published_for_cub() -> None:
    seen = DIGITS.splits["test_seen"]
    extra = seen[~np.isin(DIGITS.labels[seen], DIGITS.labels[DIGITS.splits["val"]])]
    validate(with_splits(train=np.concatenate([DIGITS.splits["train"], extra])))


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb"])
def test_names_can_be_read(name: str) -> None:
    classes = (*DIGITS.classes[:9], name)
    with pytest.raises(InputError, match=r"the name of class 10 is"):
        validate(dataclasses.replace(DIGITS, classes=classes))


def test_semantics_have_a_width() -> None:
    with pytest.raises(InputError, match="semantics have no columns"):
        validate(dataclasses.replace(DIGITS, semantics=np.empty((10, 0), dtype=np.float32)))
