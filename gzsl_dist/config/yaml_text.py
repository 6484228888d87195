"""YAML as people write it: numbers such as 5e8 are numbers, and no key is given twice."""

from __future__ import annotations

import re
from typing import Any

import yaml

# YAML 1.1 wants a point and a signed exponent in a number; YAML 1.2, JSON and people do not.
_FLOAT = re.compile(r"^[-+]?(?:[0-9][0-9_]*|[0-9][0-9_]*\.[0-9_]*|\.[0-9]+)[eE][-+]?[0-9]+$")
_FLOAT_TAG = "tag:yaml.org,2002:float"
_FIRST = list("-+.0123456789")


class _Loader(yaml.SafeLoader):
    """Builds nothing but plain values."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is there twice, where the second would win without a word."""
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = (key_node.tag, key_node.value) if isinstance(key_node.value, str) else None
            line = key_node.start_mark.line + 1
            if key is not None and key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key[1]} is given twice, in line {seen[key]} and in line {line}"
                )
            seen[key] = line
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes a text that `_Loader` would read as a number."""


_Loader.add_implicit_resolver(_FLOAT_TAG, _FLOAT, _FIRST)
_Dumper.add_implicit_resolver(_FLOAT_TAG, _FLOAT, _FIRST)


def load(text: str) -> Any:
    """The values of a YAML text.

    Raises:
        yaml.YAMLError, ValueError: it is not YAML, or a key is given twice.
    """
    return yaml.load(text, Loader=_Loader)  # a SafeLoader


def dump(values: Any) -> str:
    """Values as YAML; `load` gives the same."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False)
