"""Reading the xlsa17 layout: two MATLAB files, features and splits (Xian et al., 2017)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gzsl_dist.data.dataset import OPTIONAL_SPLITS, REQUIRED_SPLITS, Dataset, FloatArray, IntArray
from gzsl_dist.data.hdf5 import DAMAGE, check_readable, damaged, open_hdf5, refuse_outside_data
from gzsl_dist.data.validation import check_indices, remedy_of_zero, validate
from gzsl_dist.errors import InputError

Variables = dict[str, Any]


def read_pair(features_path: Path, splits_path: Path, name: str | None = None) -> Dataset:
    """Read and check a pair of files, MATLAB v5 or v7.3.

    The first has ``features`` (D x N) and ``labels`` (N), the second ``att`` (d_a x C),
    ``trainval_loc``, ``test_seen_loc``, ``test_unseen_loc``, and perhaps ``allclasses_names``,
    ``train_loc`` and ``val_loc``. Labels and indices start at 1.

    Args:
        features_path: the file of features.
        splits_path: the file of semantics and splits.
        name: what results are reported under; default the folder of `splits_path`.

    Raises:
        InputError: a file cannot be read, lacks something, or its contents are wrong.
    """
    rows = read_matlab(features_path, ("features", "labels"))
    split_names = tuple(f"{split}_loc" for split in (*REQUIRED_SPLITS, *OPTIONAL_SPLITS))
    tables = read_matlab(splits_path, ("att", "allclasses_names", *split_names))
    _require(rows, ("features", "labels"), features_path)
    _require(tables, ("att", *split_names[: len(REQUIRED_SPLITS)]), splits_path)

    labels = _whole_numbers(rows["labels"], f"{features_path}: labels")
    features = _features(rows.pop("features"), len(labels), features_path)
    att = _matrix(tables["att"], f"{splits_path}: att")
    if (labels == 0).any():
        remedy = remedy_of_zero(labels, att.shape[1])
        raise InputError(f"{features_path}: labels: hold 0, but they start at 1; {remedy}")
    _refuse_transposed(att, labels, tables.get("allclasses_names"), splits_path)
    semantics = _float32(att.T)
    missing: list[str] = []
    splits: dict[str, IntArray] = {}
    for split, key in zip((*REQUIRED_SPLITS, *OPTIONAL_SPLITS), split_names, strict=True):
        if key in tables:
            indices = _whole_numbers(tables[key], f"{splits_path}: {key}")
            if not len(indices) and split in OPTIONAL_SPLITS:
                continue  # [] in MATLAB: as good as missing, and told as such
            if len(indices) == len(labels) > 1 and np.isin(indices, [0, 1]).all():
                raise InputError(f"{splits_path}: {key}: is a mask of rows; save find({key})")
            check_indices(indices, len(labels), f"{splits_path}: {key}", first=1)
            splits[split] = indices - 1
    dataset = Dataset(
        name=name or splits_path.resolve().parent.name,
        features=features,
        labels=labels - 1,
        semantics=semantics,
        classes=_class_names(tables.get("allclasses_names"), len(semantics), missing, splits_path),
        splits=splits,
        missing=(),
    )
    _drop_unusable_validation(dataset, missing)
    dataset = Dataset(**{**vars(dataset), "missing": tuple(missing)})
    validate(dataset, f"{features_path} with {splits_path}")
    return dataset


def read_matlab(path: Path, names: tuple[str, ...]) -> Variables:
    """Read the named variables that a MATLAB file has, v5 or v7.3, as MATLAB shapes them.

    Raises:
        InputError: missing, unreadable, not a MATLAB file, truncated, damaged, or with data
            outside of itself.
    """
    import h5py
    import scipy.io

    check_readable(path)
    if h5py.is_hdf5(path):
        with open_hdf5(path) as file:
            try:
                return {name: _from_hdf5(file, name, path) for name in names if name in file}
            except DAMAGE as error:
                raise damaged(path, error) from None
    try:
        # "None" is what scipy calls each variable that is an object of a MATLAB class
        variables = scipy.io.loadmat(path, variable_names=(*names, "None"))
    except Exception:  # the reader raises whatever a broken stream leads it to
        raise InputError(
            f"{path}: not a MATLAB file (v5 or v7.3), or truncated; fetch it again"
        ) from None
    opaque = variables.get("None")
    if isinstance(opaque, scipy.io.matlab.MatlabOpaque):
        name, kind = (opaque[0][field].decode("latin1") for field in ("s0", "s2"))
        if name in names:
            raise _an_object(path, name, kind)
    return {name: variables[name] for name in names if name in variables}


def _an_object(path: Path, name: str, kind: str) -> InputError:
    """The error for a string array, a categorical, a table: only MATLAB can read them."""
    remedy = f"cellstr({name})" if kind == "string" else "a full array of numbers, or a cell array"
    return InputError(f"{path}: {name}: is a MATLAB {kind} array; save {remedy} instead")


def _from_hdf5(file: Any, name: str, path: Path) -> Any:
    """A v7.3 variable; HDF5 stores MATLAB's columns first, and cells as references.

    What it is stands in its attribute ``MATLAB_class``, which files written by h5py may lack.
    """
    import h5py

    item = file[name]
    if not isinstance(item, h5py.Dataset):  # a struct or a sparse matrix
        raise InputError(f"{path}: {name}: must be a full array; save it with full({name})")
    kind = _matlab_class(item)
    if kind == "string" or "MATLAB_object_decode" in item.attrs:
        raise _an_object(path, name, kind)
    if h5py.check_string_dtype(item.dtype):  # not by MATLAB
        return item.asstr("utf-8")[()].T
    if kind == "char":  # one name a row
        rows = np.asarray(_values(item)).T
        return np.array([_utf16(row) for row in np.atleast_2d(rows)], dtype=object)
    if item.dtype == h5py.ref_dtype:
        cells = (_text(file[reference], path) for reference in np.ravel(item[()]))
        return np.array(list(cells), dtype=object)
    return _values(item).T


def _matlab_class(item: Any) -> str:
    stored = item.attrs.get("MATLAB_class", "")
    return stored.decode() if isinstance(stored, bytes) else str(stored)


def _values(item: Any) -> Any:
    """Values as stored; of an empty array MATLAB stores its shape instead."""
    if item.attrs.get("MATLAB_empty"):
        return np.empty((0, 0))
    return item[()]


def _text(item: Any, path: Path) -> str:
    """A text in a cell; reached by reference, so checked here."""
    import h5py

    if not isinstance(item, h5py.Dataset):
        raise TypeError("a cell of text refers to a group")
    refuse_outside_data(item, path)
    if h5py.check_string_dtype(item.dtype) and item.size == 1:  # not by MATLAB
        return str(np.ravel(item.asstr("utf-8")[()])[0])
    if (kind := _matlab_class(item)) not in ("char", ""):
        raise TypeError(f"a cell of text holds {kind}")
    return _utf16(np.asarray(_values(item)))


def _utf16(values: np.ndarray) -> str:
    """Characters as MATLAB stores them."""
    if not values.size:
        return ""
    if values.dtype != np.uint16:
        raise TypeError(f"a cell of text holds {values.dtype}")
    return values.tobytes().decode("utf-16-le")


def _require(variables: Variables, names: tuple[str, ...], path: Path) -> None:
    lacking = [name for name in names if name not in variables]
    if lacking:
        raise InputError(
            f"{path}: lacks {', '.join(lacking)}; see docs/data.md for what the files must hold"
        )


def _matrix(value: Any, where: str) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(
            f"{where}: must be a matrix of numbers, not {array.dtype} {array.shape}; save it as a "
            "full real matrix"
        )
    return array


def _whole_numbers(value: Any, where: str) -> IntArray:
    array = np.asarray(value)
    if array.dtype.kind not in "bfiu":
        raise InputError(f"{where}: must be whole numbers; check what was saved under this name")
    if array.size and max(array.shape, default=1) != array.size:
        shape = " x ".join(map(str, array.shape))
        remedy = "check what was saved under this name"
        one_each = any((array.sum(axis=axis) == 1).all() for axis in (0, 1) if array.ndim == 2)
        if one_each and np.isin(array, [0, 1]).all():
            remedy = "it is one-hot, save the number of each 1 instead"
        raise InputError(f"{where}: must be one row or column of numbers, not {shape}; {remedy}")
    array = array.ravel()
    if array.dtype == bool:  # a mask written by h5py
        array = array.astype(np.uint8)
    largest = 2.0**53  # whole numbers beyond are not exact in MATLAB's doubles; refuses infinity
    if not ((array == np.floor(array)) & (np.abs(array) <= largest)).all():
        raise InputError(f"{where}: must be whole numbers; check what was saved under this name")
    return array.astype(np.int64)


def _float32(array: np.ndarray) -> FloatArray:
    """In float32, row by row in memory; what is too large becomes infinite and is refused later."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def _refuse_transposed(att: np.ndarray, labels: IntArray, names: Any, path: Path) -> None:
    """Refuse semantics whose rows, not columns, are as many as the names or the labels."""
    classes = int(labels.max(initial=0)) if names is None else np.size(names)
    if att.shape[1] != classes == att.shape[0]:
        raise InputError(
            f"{path}: att is {att.shape[0]} x {att.shape[1]} for {classes} classes: transposed; "
            "save it as d_a x C, one class a column"
        )


def _features(value: Any, rows: int, path: Path) -> FloatArray:
    features = _matrix(value, f"{path}: features")
    if features.shape[1] != rows and features.shape[0] == rows:
        raise InputError(
            f"{path}: features are {features.shape[0]} x {features.shape[1]} for {rows} labels: "
            "transposed; save them as D x N, one image a column"
        )
    if features.shape[1] != rows:
        raise InputError(
            f"{path}: features are {features.shape[0]} x {features.shape[1]} for {rows} labels; "
            "one column is needed for each label"
        )
    return _float32(features.T)


def _class_names(value: Any, count: int, missing: list[str], path: Path) -> tuple[str, ...]:
    if value is None:
        missing.append("allclasses_names: classes are called 'class 1', 'class 2', ...")
        return tuple(f"class {number + 1}" for number in range(count))
    cells = np.asarray(value).ravel()
    names = tuple(_name(cell, number, path) for number, cell in enumerate(cells, start=1))
    if len(names) != count:
        raise InputError(
            f"{path}: allclasses_names has {len(names)} names, att has {count} columns; they must "
            "be the same classes in the same order"
        )
    return names


def _name(cell: Any, number: int, path: Path) -> str:
    """One name, without the blanks that fill the rows of a character matrix."""
    texts = np.ravel(cell)
    if not texts.size:
        return ""
    if texts.size > 1 or not isinstance(texts[0], str):
        raise InputError(
            f"{path}: allclasses_names: name {number} is no text; save a cell array with one "
            "character row a class"
        )
    return str(texts[0]).rstrip(" \0")


def _drop_unusable_validation(dataset: Dataset, missing: list[str]) -> None:
    """Keep ``train`` and ``val`` only where they part the seen classes in two."""
    splits, labels = dataset.splits, dataset.labels
    lacking = [f"{split}_loc" for split in OPTIONAL_SPLITS if split not in splits]
    reason = f"{' and '.join(lacking)}: " if lacking else ""
    if not lacking:
        train, val, seen = (
            set(labels[splits[split]].tolist()) for split in (*OPTIONAL_SPLITS, "trainval")
        )
        if train & val:
            reason = "train_loc and val_loc share classes: "
        elif not train | val <= seen:
            reason = "train_loc and val_loc hold classes without training rows: "
    if reason:
        for split in OPTIONAL_SPLITS:
            splits.pop(split, None)
        missing.append(reason + "validation classes are drawn from the seen ones by seed")
