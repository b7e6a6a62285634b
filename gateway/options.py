"""What a dataclass of settings makes of what a person wrote: strictly, a text is no number.

Uses pydantic, so it belongs into short-lived processes: the checker of config.toml and the commands.
"""

import json
import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from drivers.contract import ConfigError, Driver
from gateway.mistakes import Subject, said

NOT_OF_THIS_TYPE = ("int_type", "float_type", "bool_type")


def configured(driver: Driver, options: Mapping[str, Any], called: str = "driver") -> Any:
    """The driver's Config from values as they stand in TOML, every mistake named. Raises ConfigError."""
    config, errors = validated(driver.Config, options)
    if errors:
        subject = Subject(driver.Config, called=called)
        raise ConfigError("\n".join(said(subject, error)[0] for error in errors))
    return config


def as_in_toml(shape: Any, texts: Mapping[str, str]) -> dict[str, Any]:
    """Values of a command line: `9600` is a text where the option takes one, else what it is in TOML."""
    _, errors = validated(shape, texts)
    misfits = {error["loc"][0] for error in errors if error["loc"]}
    return {name: _read(text) if name in misfits else text for name, text in texts.items()}


def validated(shape: Any, values: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """The dataclass from what was written, or pydantic's errors with `loc` relative to it."""
    model = _holder(shape)
    try:
        made, errors = vars(model(value=values))["value"], []
    except ValidationError as error:
        made, errors = None, [_relative(one) for one in error.errors()]
    errors = joined(errors, wrong_types(shape, values))
    return (None if errors else made), errors


def joined(errors: list[Any], misfits: list[Any]) -> list[Any]:
    """One error a place: that a flag is no number goes before what is wrong with the number."""
    misplaced = [error["loc"] for error in misfits]
    return [*(error for error in errors if error["loc"] not in misplaced), *misfits]


def wrong_types(shape: Any, values: Mapping[str, Any]) -> list[Any]:
    """Where a number or a flag is wanted and something else was written that could pass for one: "yes", 1.

    The strict mode of pydantic for JSON does this. Its mode for Python would refuse lists for tuples, too.
    """
    written = json.dumps({"value": values}, default=str)
    try:
        _holder(shape).model_validate_json(written, strict=True)
    except ValidationError as error:
        return [_relative(one) for one in error.errors() if one["type"] in NOT_OF_THIS_TYPE]
    return []


@cache  # a class of pydantic's takes 10 ms to make
def _holder(shape: Any) -> type[BaseModel]:
    rules = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    model: type[BaseModel] = create_model("Holder", __config__=rules, value=(shape, ...))
    return model


def _relative(error: Any) -> dict[str, Any]:
    return {**error, "loc": error["loc"][1:]}


def _read(text: str) -> Any:
    if text.lower() in ("true", "false"):  # Python's True as well
        return text.lower() == "true"
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
