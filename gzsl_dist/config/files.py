"""Configurations as YAML files, read without running anything in them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from gzsl_dist.config import yaml_text
from gzsl_dist.config.nested import differences, nested
from gzsl_dist.config.sizes import left_to_size
from gzsl_dist.config.tree import Config
from gzsl_dist.errors import InputError
from gzsl_dist.run.files import RunFiles
from gzsl_dist.run.state import lock_run


def to_yaml(config: Config) -> str:
    """The complete configuration as YAML; reading it back gives the same.

    Where its `size` waits for the data, what that will set is left out.
    """
    return yaml_text.dump(config.model_dump(exclude=left_to_size(config)))


def read_settings(path: Path) -> dict[str, Any]:
    """A configuration file's settings, nested; ``train.steps: 5`` is one as well.

    Raises:
        InputError: as in `read_yaml`, or a setting is given twice, in both forms.
    """
    try:
        return nested(read_yaml(path))
    except ValueError as error:
        raise InputError(f"configuration file {path}: {error}") from None


def read_yaml(
    path: Path,
    what: str = "configuration file",
    remedy: str = "give an existing file with --config",
) -> dict[str, Any]:
    """The mapping in a YAML or JSON file; errors call it `what`, and say the remedy.

    Raises:
        InputError: missing, not YAML, a key given twice, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = _values(text, json_only=path.suffix == ".json")
    except OSError as error:
        raise InputError(f"{what} {path}: cannot be read ({error.strerror}); {remedy}") from None
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        language = "JSON" if path.suffix == ".json" else "YAML"
        reason = " ".join(str(error).split())
        if "is given twice" in reason:
            raise InputError(f"{what} {path}: {reason}; keep one") from None
        raise InputError(f"{what} {path}: not {language} ({reason}); correct it") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(
            f"{what} {path}: must hold lines 'section:', not a {type(values).__name__}"
        )
    return values


def _values(text: str, *, json_only: bool) -> Any:
    """JSON is not YAML 1.1: 5e8 is a number in it, and it may be indented by tabs."""
    if json_only or text.lstrip().startswith("{"):
        try:
            return json.loads(text, object_pairs_hook=_unique)
        except json.JSONDecodeError:
            if json_only:
                raise
    return yaml_text.load(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"{key} is given twice")
        values[key] = value
    return values


def read_run_config(run: Path) -> Config:
    """The configuration in a run directory; its `run.dir` is where the run lies now.

    Raises:
        InputError: missing or not a configuration.
    """
    path = RunFiles(run).config
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a run directory made by gzsl_dist.train")
    try:
        config = Config.model_validate(read_settings(path))
    except ValueError:
        raise InputError(
            f"{path}: not a configuration written by this version of gzsl_dist.train; train again"
        ) from None
    # a run that was moved or copied must not write to the place that it was trained in
    config = config.model_copy(update={"run": config.run.model_copy(update={"dir": str(run)})})
    if (carried := RunFiles(run).training_rows).exists():
        data = config.data.model_copy(update={"path": str(carried)})
        config = config.model_copy(update={"data": data})
    return config


def check_run_directory(directory: Path, config: Config) -> None:
    """See that a run directory is new or holds an earlier start of this very run.

    Raises:
        InputError: it belongs to another configuration; all settings that differ are named.
    """
    files = RunFiles(directory)
    remedy = "use another --run.dir, or --train.resume never, which moves that run aside"
    if not files.config.exists():
        if remains := files.remains:
            raise InputError(
                f"run directory {directory} holds {remains[0].name} of a run without its "
                f"config.yaml; {remedy}"
            )
        return
    different = differences(config.decisive, read_run_config(directory).decisive)
    if different:
        raise InputError(f"run directory {directory} holds a run with {different}; {remedy}")


def check_writable(directory: Path) -> None:
    """See that a run directory can be made and written.

    Raises:
        InputError: it cannot.
    """
    nearest = directory
    try:  # permission bits do not tell all: quotas, read-only mounts, root
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise InputError(
            f"run directory {directory}: {nearest} cannot be written ({error.strerror}); name "
            "another with --run.dir"
        ) from None


def check_start(directory: Path, config: Config) -> str:
    """What a start would do with its run directory, for people; for dry runs: nothing is written.

    Raises:
        InputError: what the run would refuse: another run's directory, one that cannot be written,
            or another job in it.
    """
    files = RunFiles(directory)
    if config.train.resume != "never":  # first: what it refuses, no waiting mends
        check_run_directory(directory, config)
    check_writable(directory)
    if files.lock.exists():
        lock_run(directory).close()
    earlier = files.config.exists() or bool(files.remains)
    if config.train.resume == "never":
        return "the earlier run there is moved aside" if earlier else "new"
    if files.result.exists():
        return "finished already"
    return "an earlier start is resumed" if earlier else "new"
