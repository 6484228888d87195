"""Configurations as YAML files, read without running anything in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gzsl_dist.config import Config
from gzsl_dist.errors import InputError


def to_yaml(config: Config) -> str:
    """The complete configuration as YAML; reading it back gives the same."""
    return yaml.safe_dump(config.model_dump(), sort_keys=False)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping.

    Raises:
        InputError: missing, not YAML, or not a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"configuration file {path}: cannot be read ({error.strerror}); give an existing "
            "file with --config"
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        reason = " ".join(str(error).split())
        raise InputError(f"configuration file {path}: not YAML ({reason})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(
            f"configuration file {path}: must hold lines 'section:', not a {type(values).__name__}"
        )
    return values


def read_run_config(run: Path) -> Config:
    """The configuration in a run directory.

    Raises:
        InputError: missing or not a configuration.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a run directory made by gzsl_dist.train")
    try:
        return Config.model_validate(read_yaml(path))
    except ValueError:
        raise InputError(
            f"{path}: not a configuration written by this version of gzsl_dist.train"
        ) from None
