"""What a search may try: settings by dotted name, each with choices or a range."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gzsl_dist.config import Config
from gzsl_dist.config.command_line import nearest_setting, setting_fields, value_hint
from gzsl_dist.config.files import read_yaml
from gzsl_dist.config.nested import flat, merge, nested
from gzsl_dist.errors import InputError

DEFAULT = Path(__file__).with_name("space.yaml")
NOT_SEARCHED = ("method", "run.dir", "data.path", "train.seed", "evaluation.final")
"""What the command line decides, for all trials alike."""


class Range(BaseModel):
    """A setting's lowest and highest value; with `log`, searched by its logarithm."""

    model_config = ConfigDict(extra="forbid")

    low: float
    high: float
    log: bool = False


Choices = Annotated[list[str | int | float | bool | None], Field(min_length=2)]
Space = dict[str, Choices | Range]


def read_space(path: Path) -> Space:
    """A file of settings to search.

    Raises:
        InputError: one line with the file, the setting and what to do.
    """
    values = read_yaml(path, "space file", "give an existing file with --space")
    if not values:
        raise InputError(f"space file {path}: no settings in it; see {DEFAULT}")
    names = {name for name, _ in setting_fields()}
    for name in map(str, values):
        if name not in names:
            hint = nearest_setting(name)
            raise InputError(f"space file {path}: unknown setting {name}{hint}")
        if name in NOT_SEARCHED:
            raise InputError(f"space file {path}: {name}: the same in all trials; drop it")
    try:
        space = TypeAdapter(Space).validate_python(values)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise InputError(
            f"space file {path}: {name}: give two choices or more, [a, b], or a range, "
            "{low: 1, high: 10, log: true}"
        ) from None
    for name, tried in space.items():
        if isinstance(tried, Range) and not (0 if tried.log else -1e300) < tried.low < tried.high:
            raise InputError(
                f"space file {path}: {name}: low {tried.low:g} must be below high {tried.high:g}"
                + (", and above 0 with log" if tried.log else "")
            )
    return space


def distributions(space: Space, base: Config) -> dict[str, BaseDistribution]:
    """What is tried from a configuration on: all of the space but weights of losses it lacks.

    Raises:
        InputError: a choice, or the end of a range, that the configuration cannot have.
    """
    hints = {name: value_hint(field.annotation) for name, field in setting_fields()}
    values = flat(base.model_dump())
    found: dict[str, BaseDistribution] = {}
    for name, tried in space.items():
        if name.startswith(("loss.critic.", "loss.generator.")) and not values[name]:
            continue
        whole = hints[name] == "N"
        for value in (tried.low, tried.high) if isinstance(tried, Range) else tried:
            value = int(value) if whole and isinstance(value, float) else value
            try:
                configured(base, {name: value})
            except InputError as error:
                raise InputError(f"space to search (--space): {error}") from None
        if isinstance(tried, list):
            found[name] = CategoricalDistribution(tried)
        elif whole:
            found[name] = IntDistribution(int(tried.low), int(tried.high), log=tried.log)
        else:
            found[name] = FloatDistribution(tried.low, tried.high, log=tried.log)
    return found


def configured(base: Config, settings: Mapping[str, Any]) -> Config:
    """A configuration with settings changed, by dotted name.

    Raises:
        InputError: they do not go together.
    """
    try:
        return Config.model_validate(merge(base.model_dump(), nested(dict(settings))))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        value = f"{place} = {first['input']!r}: " if place else ""
        raise InputError(f"{value}{first['msg'].removeprefix('Value error, ')}") from None


def of_method(base: Config, method: str) -> Config:
    """The same for another method: with the weights and forms of its preset.

    Raises:
        InputError: no such method, or settings that do not go with it.
    """
    if method == base.method:
        return base
    values = base.model_dump()
    del values["loss"], values["evaluation"]["space"]
    try:
        return Config.model_validate(values | {"method": method})
    except ValidationError as error:
        raise InputError(f"--methods {method}: {error.errors()[0]['msg']}") from None
