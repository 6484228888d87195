"""Reading the xlsa17 layout: two MATLAB files, features and splits (Xian et al., 2017)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gzsl_dist.data.dataset import OPTIONAL_SPLITS, REQUIRED_SPLITS, Dataset, IntArray
from gzsl_dist.data.hdf5 import open_hdf5
from gzsl_dist.data.validation import check_indices, validate
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
    if (labels == 0).any():
        raise InputError(f"{features_path}: labels hold 0, but they start at 1; add 1 to all")
    features = _features(rows.pop("features"), len(labels), features_path)
    semantics = _matrix(tables["att"], f"{splits_path}: att").T
    missing: list[str] = []
    splits: dict[str, IntArray] = {}
    for split, key in zip((*REQUIRED_SPLITS, *OPTIONAL_SPLITS), split_names, strict=True):
        if key in tables:
            indices = _whole_numbers(tables[key], f"{splits_path}: {key}")
            check_indices(indices, len(labels), f"{splits_path}: {key}", first=1)
            splits[split] = indices - 1
    dataset = Dataset(
        name=name or splits_path.resolve().parent.name,
        features=features,
        labels=labels - 1,
        semantics=np.ascontiguousarray(semantics, dtype=np.float32),
        classes=_class_names(tables.get("allclasses_names"), len(semantics), missing, splits_path),
        splits=splits,
        missing=(),
    )
    _drop_unusable_validation(dataset, missing)
    dataset = Dataset(**{**vars(dataset), "missing": tuple(missing)})
    validate(dataset)
    return dataset


def read_matlab(path: Path, names: tuple[str, ...]) -> Variables:
    """Read the named variables that a MATLAB file has, v5 or v7.3, as MATLAB shapes them.

    Raises:
        InputError: missing, not a MATLAB file, or truncated.
    """
    import h5py
    import scipy.io

    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    if h5py.is_hdf5(path):
        with open_hdf5(path) as file:
            try:
                return {name: _from_hdf5(file, file[name]) for name in names if name in file}
            except (OSError, TypeError, ValueError) as error:
                raise InputError(f"{path}: damaged ({error}); fetch it again") from None
    try:
        variables = scipy.io.loadmat(path, variable_names=names)
    except Exception:  # the reader raises whatever a broken stream leads it to
        raise InputError(
            f"{path}: not a MATLAB file (v5 or v7.3), or truncated; fetch it again"
        ) from None
    return {name: variables[name] for name in names if name in variables}


def _from_hdf5(file: Any, item: Any) -> Any:
    """A v7.3 variable; HDF5 stores MATLAB's columns first, and cells as references."""
    import h5py

    if item.dtype == h5py.ref_dtype:
        cells = ("".join(map(chr, np.ravel(file[ref][()]))) for ref in np.ravel(item[()]))
        return np.array(list(cells), dtype=object)
    return item[()].T


def _require(variables: Variables, names: tuple[str, ...], path: Path) -> None:
    lacking = [name for name in names if name not in variables]
    if lacking:
        raise InputError(
            f"{path}: lacks {', '.join(lacking)}; see docs/data.md for what the files must hold"
        )


def _matrix(value: Any, where: str) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(f"{where}: must be a matrix of numbers, not {array.dtype} {array.shape}")
    return array


def _whole_numbers(value: Any, where: str) -> IntArray:
    array = np.asarray(value).ravel()
    if array.dtype.kind not in "fiu" or not (array == np.floor(array)).all():
        raise InputError(f"{where}: must be whole numbers; check what was saved under this name")
    return array.astype(np.int64)


def _features(value: Any, rows: int, path: Path) -> np.ndarray:
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
    return np.ascontiguousarray(features.T, dtype=np.float32)


def _class_names(value: Any, count: int, missing: list[str], path: Path) -> tuple[str, ...]:
    if value is None:
        missing.append("allclasses_names: classes are called 'class 1', 'class 2', ...")
        return tuple(f"class {number + 1}" for number in range(count))
    cells = np.asarray(value).ravel()
    names = tuple(str(np.ravel(cell)[0]) if np.size(cell) else "" for cell in cells)
    if len(names) != count:
        raise InputError(
            f"{path}: allclasses_names has {len(names)} names, att has {count} columns; they must "
            "be the same classes in the same order"
        )
    return names


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
