"""Nested dictionaries of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def fill(preset: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """`values`, and what `preset` has where they lack it or hold null, level by level."""
    result = dict(values)
    for key, value in preset.items():
        given = values.get(key)
        if given is None:
            result[key] = value
        elif isinstance(value, dict) and isinstance(given, dict):
            result[key] = fill(value, given)
    return result


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Values of `over`, and those of `base` that `over` lacks, level by level."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merge(base[key], value) if both else value
    return result


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[prefix + key] = value
    return result


def differences(asked: Mapping[str, Any], held: Mapping[str, Any]) -> str:
    """What is held otherwise than it is asked for, for people; empty where all is alike."""
    return "; ".join(
        f"{name} = {held.get(name)}, not {asked.get(name)}"
        for name in {**asked, **held}
        if asked.get(name) != held.get(name)
    )


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Settings whose names may be dotted, at any level, as a tree; the reverse of `flat`.

    Raises:
        ValueError: a setting is given twice, such as by ``a: {b: 1}`` and ``a.b: 1``.
    """
    result: dict[str, Any] = {}
    for key, value in values.items():
        value = nested(value) if isinstance(value, dict) else value
        *path, last = key.split(".") if isinstance(key, str) else [key]
        for name in reversed(path):
            last, value = name, {last: value}
        _join(result, last, value, "")
    return result


def _join(tree: dict[str, Any], key: str, value: Any, prefix: str) -> None:
    if key not in tree:
        tree[key] = value
    elif isinstance(tree[key], dict) and isinstance(value, dict):
        for name, part in value.items():
            _join(tree[key], name, part, f"{prefix}{key}.")
    else:
        raise ValueError(f"{prefix}{key} is given twice; keep one")
