"""From a sweep's YAML file to its tasks, each with settings and a run directory of its own."""

from __future__ import annotations

import argparse
import difflib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gzsl_dist.config import Config
from gzsl_dist.config.command_line import (
    add_setting_arguments,
    config_from_arguments,
    nearest_setting,
    setting_fields,
)
from gzsl_dist.config.files import read_yaml
from gzsl_dist.config.presets import PRESETS
from gzsl_dist.config.run_names import run_name
from gzsl_dist.errors import InputError
from gzsl_dist.run.files import RunFiles

Scalar = str | int | float | bool | None
Values = Annotated[list[Scalar], Field(min_length=1)]
Points = Annotated[list[dict[str, Scalar | Values]], Field(min_length=1)]
Settings = tuple[tuple[str, str], ...]
TAKEN = {"run.dir": "dir", "train.seed": "seeds", "method": "methods"}
"""Settings that a sweep decides itself, by keys of its own."""


class SweepFile(BaseModel):
    """What a sweep file may hold.

    Attributes:
        data: a name for each data set, with its configuration file, or with one file a method.
        methods: presets to train; not where `data` names a file for each method.
        seeds: of every combination.
        settings: for all tasks, by dotted name.
        grid: values to combine, by dotted name.
        points: instead of a grid, settings of each trial by dotted name, which may change
            `settings`: a list for all methods, or a list for each method by its name.
        dir: folder of the run directories; default ``runs/sweeps/<file's name>``.
    """

    model_config = ConfigDict(extra="forbid")

    data: Annotated[dict[str, str | dict[str, str]], Field(min_length=1)]
    methods: Annotated[list[str], Field(min_length=1)] | None = None
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    settings: dict[str, Scalar | Values] = {}
    grid: dict[str, Values] = {}
    points: Points | dict[str, Points] | None = None
    dir: str | None = None


@dataclass(frozen=True)
class Task:
    """One run of a sweep, `index` counting from 0.

    Data set and method have their names in the sweep file; the point holds values by dotted name;
    the arguments are the trainer's, without ``--run.dir``.
    """

    index: int
    data: str
    method: str
    point: Settings
    seed: int
    arguments: tuple[str, ...]
    directory: Path
    config: Config

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return self.directory.name

    @property
    def searches(self) -> bool:
        """Whether the run stops after model selection."""
        return not self.config.evaluation.final

    @property
    def outcome(self) -> Path:
        """The file that is there when the run is done."""
        files = RunFiles(self.directory)
        return files.selection if self.searches else files.result

    @property
    def group(self) -> tuple[str, str, str]:
        """Data set, method and point of the grid: what runs of other seeds share."""
        return self.data, self.method, ", ".join(f"{name}={value}" for name, value in self.point)


def read_sweep(path: Path) -> list[Task]:
    """The tasks of a sweep file; every setting of every task is checked.

    Raises:
        InputError: one line with the file, the key and what to do.
    """
    try:
        file = SweepFile.model_validate(_read(path, f"sweep file {path}"))
    except ValidationError as error:
        raise InputError(f"sweep file {path}: {_told(error)}") from None
    for section in ("settings", "grid"):
        for name in getattr(file, section):
            _check_name(path, section, name)
    both = set(file.settings) & set(file.grid)
    if both:
        raise InputError(f"sweep file {path}: {min(both)} is in settings and in grid; drop one")
    seeds = sorted({seed for seed in file.seeds if file.seeds.count(seed) > 1})
    if seeds:
        raise InputError(f"sweep file {path}: seeds: {seeds[0]} stands there twice; drop one")

    folder = Path(file.dir or f"runs/sweeps/{path.stem}")
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_setting_arguments(parser)
    settings = [(name, _text(value)) for name, value in file.settings.items()]
    tasks: list[Task] = []
    for data, method, config, chosen in _trainings(path, file):
        for point, seed in itertools.product(_points(path, file, method), file.seeds):
            given = dict([*chosen, *settings, *point, ("train.seed", str(seed))])
            arguments = ["--config", config]
            arguments += [part for name, value in given.items() for part in (f"--{name}", value)]
            name = run_name(f"{data}-{method}", dict(point) | {"train.seed": str(seed)})
            resolved = _checked(path, parser, arguments)
            if method in PRESETS and method != resolved.method:
                raise InputError(
                    f"sweep file {path}: data.{data}.{method}: {config} trains {resolved.method}; "
                    "give a file of that method, or another name"
                )
            tasks.append(
                Task(
                    len(tasks), data, method, point, seed, tuple(arguments), folder / name,
                    resolved,
                )
            )  # fmt: skip
    directories = [task.directory for task in tasks]
    for task in tasks:
        if directories.count(task.directory) > 1:
            raise InputError(
                f"sweep file {path}: two tasks would share {task.directory}; give data, methods "
                "and values of the grid names that differ"
            )
    unknown = set(file.points if isinstance(file.points, dict) else ()) - {t.method for t in tasks}
    if unknown:
        raise InputError(
            f"sweep file {path}: points.{min(unknown)}: no such method in this "
            "sweep; name one of its own"
        )
    if len({task.searches for task in tasks}) > 1:
        raise InputError(
            f"sweep file {path}: evaluation.final is true in some tasks only; search settings and "
            "measure the chosen ones in two files"
        )
    return tasks


def _points(path: Path, file: SweepFile, method: str) -> list[Settings]:
    """Settings of a method's trials: the grid's combinations, or the points."""
    if file.points is None:
        values = itertools.product(*file.grid.values())
        return [tuple(zip(file.grid, map(_text, point), strict=True)) for point in values]
    if file.grid:
        raise InputError(f"sweep file {path}: grid and points are there; drop one")
    points = file.points
    if isinstance(points, dict):
        if method not in points:
            raise InputError(
                f"sweep file {path}: points.{method} is missing; give its trials, [{{}}] for one "
                "with no settings of its own"
            )
        points = points[method]
    for point in points:
        for name in point:
            _check_name(path, "points", name)
    return [tuple((name, _text(value)) for name, value in point.items()) for point in points]


def _read(path: Path, named: str) -> dict[str, Any]:
    try:
        return read_yaml(path)
    except InputError as error:
        reason = str(error).removeprefix(f"configuration file {path}: ")
        raise InputError(f"{named}: {reason.removesuffix(' with --config')}") from None


def _trainings(path: Path, file: SweepFile) -> list[tuple[str, str, str, list[tuple[str, str]]]]:
    """Data set, method, configuration file, and the settings that choose the method."""
    trainings: list[tuple[str, str, str, list[tuple[str, str]]]] = []
    for data, configs in file.data.items():
        if isinstance(configs, dict):
            if file.methods is not None:
                raise InputError(
                    f"sweep file {path}: data.{data} names a file for each method; drop methods"
                )
            trainings += [(data, method, config, []) for method, config in configs.items()]
        elif file.methods is None:
            method = str(
                _read(Path(configs), f"sweep file {path}: {configs}").get("method", "iapc")
            )
            trainings.append((data, method, configs, []))
        else:
            trainings += [(data, name, configs, [("method", name)]) for name in file.methods]
    return trainings


def _checked(path: Path, parser: argparse.ArgumentParser, arguments: list[str]) -> Config:
    try:
        return config_from_arguments(*parser.parse_known_args(arguments))
    except InputError as error:
        raise InputError(
            f"sweep file {path}: {str(error).removeprefix('command line: ')}"
        ) from None


def _check_name(path: Path, section: str, name: str) -> None:
    if name in TAKEN:
        raise InputError(f"sweep file {path}: {section}.{name}: use {TAKEN[name]} instead")
    if name not in {known for known, _ in setting_fields()}:
        hint = nearest_setting(name)
        raise InputError(f"sweep file {path}: {section}.{name}: unknown setting{hint}")


def _text(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, list):
        return ",".join(map(_text, value))
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _told(error: ValidationError) -> str:
    first = error.errors()[0]
    parts = [part for part in first["loc"] if "[" not in str(part)]  # not pydantic's own names
    name = ".".join(str(part) for part in parts[:2])
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, SweepFile.model_fields, n=1, cutoff=0.5)
        hint = close[0] if close else ", ".join(SweepFile.model_fields)
        return f"unknown key {name}; did you mean {hint}?"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{name}: {message}; docs/slurm.md shows a whole file"
