"""Nested dictionaries of settings."""

from __future__ import annotations

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
