"""From defaults, a YAML file and ``--section.key value`` to a checked configuration."""

from __future__ import annotations

import argparse
import difflib
import types
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from gzsl_dist.config.data import EMBEDDED
from gzsl_dist.config.files import read_settings
from gzsl_dist.config.nested import merge, nested
from gzsl_dist.config.tree import Config
from gzsl_dist.errors import InputError

HABITS = {
    "lr": "train.learning_rate",
    "epochs": "train.steps",
    "nepoch": "train.steps",
    "niter": "train.steps",
    "bs": "train.batch_size",
    "manualSeed": "train.seed",
    "nz": "model.noise_dim",
    "syn_num": "evaluation.rows_per_class",
    "dataset": "data.path",
    **dict.fromkeys(("output_dir", "output", "out", "outdir", "save_dir", "logdir"), "run.dir"),
    **dict.fromkeys(("log_dir", "work_dir", "workdir", "exp_name", "name"), "run.dir"),
    **dict.fromkeys(("dataroot", "data_root", "data_dir"), "data.path"),
    **dict.fromkeys(("cuda", "accelerator"), "train.device"),
    **dict.fromkeys(("fp16", "bf16", "amp", "half"), "train.precision"),
    **dict.fromkeys(("critic_iter", "n_critic"), "train.critic_steps"),
    "lambda1": "loss.gradient_penalty",
    "ngh": "model.generator_hidden",
    "ndh": "model.critic_hidden",
    "nhF": "model.comparator_hidden",
    "embedSize": "model.embedding_dim",
    "outzSize": "model.projection_dim",
    "ins_weight": "loss.generator.instance",
    "cls_weight": "loss.generator.comparator",
    "ins_temp": "loss.instance.temperature",
    "cls_temp": "loss.comparator_temperature",
}
"""What other programs of the field call a setting."""

PROCESSES = ("gpus", "ngpu", "num_gpus", "nproc", "nproc_per_node", "world_size", "devices")

WORKERS = ("workers", "num_workers")

SWEEP = {"seeds", "methods", "grid", "points"}
"""What a sweep file has and no configuration does (`gzsl_dist.sweeps.plan`)."""


def setting_fields(
    section: type[BaseModel] = Config, prefix: str = ""
) -> Iterator[tuple[str, FieldInfo]]:
    """All settings of the tree: dotted name and field."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from setting_fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def section_of(name: str) -> str:
    """The section of a setting; those of none are under `method`."""
    return name.split(".")[0] if "." in name else "method"


def add_setting_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser ``--config``, ``--print-config`` and one option for each setting."""
    parser.add_argument("--config", metavar="FILE", help="YAML file of settings")
    parser.add_argument(
        "--print-config", action="store_true", help="print the complete settings and stop"
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name, field in setting_fields():
        section = section_of(name)
        if section not in groups:
            groups[section] = parser.add_argument_group(section)
        default = field.get_default(call_default_factory=False)
        shown = "null" if default is None else default
        hint = value_hint(field.annotation)
        option = groups[section].add_argument(
            f"--{name}",
            metavar=hint,
            help=f"{field.description} [{shown}]".replace("%", "%%"),
            default=argparse.SUPPRESS,
            dest=name,
        )
        if "|" in hint:  # what a shell completes (argcomplete); pydantic checks the value
            option.completer = partial(_choices, hint)  # type: ignore[attr-defined]


def _choices(hint: str, **_: Any) -> list[str]:
    return hint.split("|")


def config_from_arguments(arguments: argparse.Namespace, unknown: Sequence[str]) -> Config:
    """The checked configuration of a command line parsed with `add_setting_arguments`.

    Raises:
        InputError: one line that names the first unknown option or wrong setting, where it stands
            and what to do.
    """
    if unknown:
        raise InputError(f"command line: {_not_understood(unknown[0], arguments)}")
    known = {name for name, _ in setting_fields()}
    given = {name: value for name, value in vars(arguments).items() if name in known}
    overrides = nested({name: None if value == "null" else value for name, value in given.items()})
    data = given.get("data.path", EMBEDDED)
    from_file = (
        read_settings(Path(arguments.config)) if arguments.config else values_to_start_from(data)
    )
    config = _validated(merge(from_file, overrides), given, arguments.config)
    if config.run.dir is None:
        stem = Path(arguments.config or data).stem
        config = config.model_copy(
            update={"run": config.run.model_copy(update={"dir": f"runs/{stem}"})}
        )
    return config


def _not_understood(word: str, arguments: argparse.Namespace) -> str:
    if word.startswith("-"):
        own = [name.replace("_", "-") for name in vars(arguments) if "." not in name]
        wanted = word.lstrip("-").split("=")[0].replace("_", "-")
        if close := difflib.get_close_matches(wanted, own, n=1, cutoff=0.75):
            return f"unknown option {word}; did you mean --{close[0]}?"
        return f"unknown option {word}{nearest_setting(word)}"
    if Path(word).suffix in (".yaml", ".yml", ".json"):
        return f"{word} belongs to no option; a configuration is given as --config {word}"
    return f"{word!r} belongs to no option; settings are given as --section.key VALUE"


def values_to_start_from(data: str) -> dict[str, Any]:
    """What stands where no configuration file is given.

    Of the embedded data set, its own file; of others, sizes that fit them.
    """
    if data != EMBEDDED:
        return {"size": "auto"}
    return read_settings(Path(__file__).with_name("digits.yaml"))


def _validated(values: dict[str, Any], given: dict[str, Any], file: str | None) -> Config:
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        where = "command line" if name in given or file is None else f"configuration file {file}"
        if file is not None and SWEEP & set(values):
            raise InputError(
                f"{file}: a sweep, not a configuration; gzsl sweep run {file}"
            ) from None
        if first["type"] == "extra_forbidden":
            raise InputError(f"{where}: unknown setting {name}{nearest_setting(name)}") from None
        message = first["msg"].removeprefix("Value error, ")
        if not name:
            raise InputError(f"{where}: {message}") from None
        message = message[0].lower() + message[1:]
        raise InputError(f"{where}: {name} = {first['input']!r}: {message}") from None


def nearest_setting(name: str) -> str:
    """A hint for an unknown setting, with hyphens as an option, that ends an error's line."""
    known = [known for known, _ in setting_fields()]
    wanted = name.lstrip("-").split("=")[0]
    last = wanted.split(".")[-1].replace("-", "_")
    if last in PROCESSES:
        return "; a process for each: torchrun --nproc_per_node=N -m gzsl_dist.train ..."
    if last in WORKERS:
        return "; leave it out: rows and noise are drawn ahead by a thread"
    same = [HABITS[last]] if last in HABITS else [n for n in known if n.split(".")[-1] == last]
    close = same if last in HABITS or "." not in wanted else []
    close = close or difflib.get_close_matches(wanted, known, n=1, cutoff=0.5) or same
    prefix = "--" if name.startswith("-") else ""
    return f"; did you mean {prefix}{close[0]}?" if close else "; --help lists all"


def value_hint(annotation: Any) -> str:
    """A short name of a setting's type, for the help text."""
    if get_origin(annotation) is Literal:
        return "|".join(str(value) for value in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return value_hint(get_args(annotation)[0])
    if get_origin(annotation) is not None:  # Annotated
        return value_hint(get_args(annotation)[0])
    return {int: "N", float: "X", str: "TEXT", bool: "true|false"}.get(annotation, "VALUE")
