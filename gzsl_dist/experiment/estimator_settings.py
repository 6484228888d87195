"""Parameters of the scikit-learn estimator, and which settings they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from gzsl_dist.config import Config
from gzsl_dist.config.command_line import nearest_setting, setting_fields
from gzsl_dist.config.nested import flat, merge, nested
from gzsl_dist.config.sizes import DataShape, sized
from gzsl_dist.distributed.processes import device_type

PARAMETERS = {
    "method": "method",
    "size": "size",
    "train.steps": "steps",
    "train.batch_size": "batch_size",
    "train.seed": "random_state",
    "evaluation.calibration": "calibration",
}
"""By a setting's dotted name, the parameter that it is."""


def split_parameters(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters, and settings by dotted name, of what ``set_params`` is given.

    Raises:
        ValueError: no such setting.
    """
    own: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    known = {name for name, _ in setting_fields()}
    for name, value in params.items():
        dotted = name.replace("__", ".")
        if "__" not in name:
            own[name] = value
        elif dotted in PARAMETERS:
            own[PARAMETERS[dotted]] = value
        elif dotted in known:
            settings[dotted] = value
        else:
            raise ValueError(f"no setting {name}{nearest_setting(dotted).replace('.', '__')}")
    return own, settings


def config_of(
    parameters: Mapping[str, Any], settings: Mapping[str, Any], shape: DataShape
) -> Config:
    """The configuration of an estimator's parameters, by their names, and further settings.

    Steps and batch size may be None, which leaves them to the size for data of this shape.

    Raises:
        ValueError: a value is wrong, a setting is unknown, or is one of the parameters.
    """
    tree = nested(dict(settings))
    for name in flat(tree).keys() & PARAMETERS.keys():
        raise ValueError(f"settings: {name} is the parameter {PARAMETERS[name]}; give it there")
    values = {name: parameters[of] for name, of in PARAMETERS.items()}
    left = [name for name in ("train.steps", "train.batch_size") if values[name] is None]
    own = nested({name: value for name, value in values.items() if name not in left})
    # one process, and no run directory
    fixed = {"train": {"strategy": "single"}, "evaluation": {"in_memory": "true"}}
    tree = merge({"evaluation": {"selection": "fixed"}}, merge(tree, merge(own, fixed)))
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise ValueError(f"settings: no setting {name}{nearest_setting(name)}") from None
        message = first["msg"].removeprefix("Value error, ")
        where = f"{name} = {first['input']!r}: " if name else ""
        raise ValueError(in_own_words(f"{where}{message}")) from None
    config = sized(config, shape, device_type(config.train.device))
    if config.evaluation.selection == "validation" or "every" in tree["evaluation"]:
        return config
    # where no step is chosen, only the last one is validated
    evaluation = config.evaluation.model_copy(update={"every": config.train.steps})
    return config.model_copy(update={"evaluation": evaluation})


def in_own_words(text: str) -> str:
    """An error of a run, by the names of the estimator's parameters."""
    for name, parameter in PARAMETERS.items():
        text = re.sub(rf"(--)?(?<![.\w]){re.escape(name)}(?![.\w])", parameter, text)
    return re.sub(r"--(?=[a-z]+\.[a-z])", "settings: ", text)
