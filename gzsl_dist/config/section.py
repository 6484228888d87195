"""What the sections of the tree of settings share: their base class and types of values."""

from __future__ import annotations

import signal
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A part of the tree; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _of_nothing(cls, values: Any) -> Any:
        """`train:` in YAML, all settings below it commented out, is a section without settings."""
        return {} if values is None else values

    @field_validator("*", mode="before")
    @classmethod
    def _no_word_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads yes and on as true, which counts as 1 in Python."""
        kind = cls.model_fields[str(info.field_name)].annotation
        parts = get_args(kind) or (kind,)  # of PositiveInt | None, say
        kinds = {get_args(part)[0] if get_args(part) else part for part in parts}
        if isinstance(value, bool) and bool not in kinds and kinds & {int, float}:
            raise ValueError("must be a number; yes, no, on and off are truth values in YAML")
        return value


def _usable_path(text: str) -> str:
    if "\0" in text or any(len(part.encode()) > 255 for part in text.split("/")):
        raise ValueError("no file can have such a name")
    return text


PathText = Annotated[str, Field(min_length=1), AfterValidator(_usable_path)]


def split_text(value: Any) -> Any:
    """The command line gives a list as one text with commas."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _text_of_bool(value: Any) -> Any:
    """YAML reads true and false as such, though they are two of several words here."""
    return str(value).lower() if isinstance(value, bool) else value


InMemory = Annotated[Literal["auto", "true", "false"], BeforeValidator(_text_of_bool)]


def _catchable_signal(name: str) -> str:
    known = {number.name for number in signal.Signals} - {"SIGKILL", "SIGSTOP"}
    if name not in known:
        raise ValueError(f"{name!r} is no signal that can be caught; such as SIGUSR1")
    return name


SignalName = Annotated[str, AfterValidator(_catchable_signal)]
