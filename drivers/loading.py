"""Find a driver by name: bundled or from somebody's pip package, all through the same entry-point group.

Finding one imports that one only. Looking through the installed packages (20 ms, 3 MB) and checking options
(pydantic) belong into short-lived processes; a resident driver process is told the "module:Class" that was found,
and builds its Config from options that were checked before.
"""

from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any, NamedTuple

from drivers.contract import ByteDriver, ConfigError, Driver, EventDriver

GROUP = "storekeeper.drivers"


class LoadError(ConfigError):
    """There is no such driver, or its package does not work. The text says which package and why."""


class Installed(NamedTuple):
    """One entry-point line."""

    name: str
    target: str  # "drivers.serial_scanner:SerialScannerDriver"
    package: str  # the pip distribution that brought it


class Option(NamedTuple):
    """One setting of a driver, for listings."""

    name: str
    type: str
    default: Any  # None when the option must be given
    required: bool


def available() -> list[Installed]:
    """Every installed driver by name, without importing any."""
    from importlib.metadata import entry_points

    found = (
        Installed(point.name, point.value, point.dist.name if point.dist else "")
        for point in entry_points(group=GROUP)
    )
    return sorted(found)


def load(name: str) -> Driver:
    """Import and make the driver `name`, or the one at "module:Class". Raises LoadError."""
    if ":" in name:
        return _made(name, f"driver {name}")
    found = [one for one in available() if one.name == name]
    if not found:
        raise LoadError(
            f'there is no driver "{name}"{_did_you_mean(name, [one.name for one in available()])}'
        )
    if len({one.target for one in found}) > 1:
        packages = ", ".join(sorted(one.package or one.target for one in found))
        raise LoadError(f'driver "{name}" comes from several packages ({packages}): uninstall all but one')
    one = found[0]
    return _made(one.target, f'driver "{name}" ({one.target}{f" of {one.package}" if one.package else ""})')


def options_of(driver: Driver) -> list[Option]:
    """The settings of a driver, in the order of its Config."""
    return [
        Option(field.name, _type_text(field.type), *_default(field))
        for field in fields(driver.Config)
        if field.init
    ]


def _made(target: str, where: str) -> Driver:
    module, _, name = target.partition(":")
    try:
        driver = getattr(import_module(module), name)()
    except Exception as error:  # foreign code at import: whatever it raises, only this device stops
        raise LoadError(f"{where} does not load: {type(error).__name__}: {error}") from error
    if not isinstance(driver, ByteDriver | EventDriver):
        raise LoadError(f"{where} is no driver: it needs Config with open and decoder, or with run")
    return driver


def _did_you_mean(word: str, words: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, words, n=1)
    return f'; did you mean "{near[0]}"?' if near else f"; there is {', '.join(words) or 'none'}"


def _default(field: Any) -> tuple[Any, bool]:
    if field.default is not MISSING:
        return field.default, False
    if field.default_factory is not MISSING:
        return field.default_factory(), False
    return None, True


def _type_text(annotation: Any) -> str:
    """`int 300..115200`, `one of none, beep, text`, `str`: what a person may write."""
    from typing import Annotated, Literal, get_args, get_origin

    if isinstance(annotation, str):
        return annotation
    if get_origin(annotation) is Annotated:
        base, *bounds = get_args(annotation)
        low = next((bound.ge for bound in bounds if hasattr(bound, "ge")), "")
        high = next((bound.le for bound in bounds if hasattr(bound, "le")), "")
        return f"{_type_text(base)} {low}..{high}" if (low, high) != ("", "") else _type_text(base)
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(map(str, get_args(annotation)))}"
    return getattr(annotation, "__name__", str(annotation))
