"""Proves config.toml in a process of its own: `python -m gateway.check FILE` answers one line of JSON.

Here, and only here, are pydantic and the code of foreign driver packages imported for settings.
"""

import os
import re
import sys
import sysconfig
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from drivers.contract import ConfigError
from drivers.loading import available, load
from gateway import config as config_module
from gateway.config import (
    ENV_PREFIX,
    Backoffice,
    Broker,
    Device,
    Ledger,
    Mqtt,
    Problem,
    Settings,
    Shop,
    Verdict,
    Watched,
    Web,
    decode,
    encode,
    watch,
)
from gateway.mistakes import Page, Subject, did_you_mean, not_toml, not_utf8, shown, told, unreadable
from gateway.options import joined, validated, wrong_types
from gateway.toml_spots import KeyPath, key_spots, spots

OURS = [field.name for field in fields(Device) if field.name not in ("options", "target", "problem")]
WAYS = {  # options that say where a device is; empty is for `driver decode`, which has none
    "port": '"/dev/serial/by-id/..."',
    "path": '"/dev/input/by-id/..."',
    "host": '"reader.local"',
}
installed = cache(available)  # 15 ms each time, and this process is short-lived
LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|::1")


class File(BaseSettings):
    """The sections of config.toml. `STOREKEEPER_WEB__PORT=8081` in the environment goes before the file."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", env_ignore_empty=True, extra="forbid"
    )

    shop: Shop = Shop()
    ledger: Ledger = Ledger()
    web: Web = Web()
    mqtt: Mqtt = Mqtt()
    backoffice: Backoffice = Backoffice()

    @classmethod
    def settings_customise_sources(cls, *args: Any, **sources: Any) -> tuple[Any, ...]:
        return sources["env_settings"], sources["init_settings"]


@dataclass(frozen=True, slots=True)
class Trust:
    """A foreign package may end this process while it is imported: say whose turn it is, and skip who did."""

    refused: tuple[str, ...] = ()
    announce: Callable[[str], None] = lambda driver: None


def check(path: Path, trust: Trust = Trust()) -> Verdict:
    """Prove the file, without changing anything."""
    try:
        source = path.read_bytes().decode("utf-8")
        values = tomllib.loads(source)
    except OSError as error:
        return Verdict(None, (unreadable(path, error),), ())
    except UnicodeDecodeError as error:
        return Verdict(None, (not_utf8(path, error),), ())
    except tomllib.TOMLDecodeError as error:
        return Verdict(None, (not_toml(Page(path, source, {}, {}), str(error)),), ())

    page = Page(path, source, spots(source), key_spots(source))
    devices, problems = _devices(page, values.pop("device", []), trust)
    file, mistakes = _sections(page, values)
    problems = sorted([*problems, *mistakes], key=lambda problem: (problem.line, problem.column))
    if file is None or not all(problem.device for problem in problems):
        return Verdict(None, tuple(problems), ())
    settings = Settings(
        path,
        file.shop,
        _beside(path, file.ledger),
        file.web,
        _beside(path, file.mqtt),
        _beside(path, file.backoffice),
        tuple(devices),
    )
    return Verdict(settings, tuple(problems), tuple(_watched(devices)))


def _sections(page: Page, values: dict[str, Any]) -> tuple[File | None, list[Problem]]:
    """All but the devices. Any mistake here refuses the file: nobody chose half of the settings."""
    if state := os.environ.get("STATE_DIRECTORY"):  # the service's own, when the file does not say another
        ledger = values.setdefault("ledger", {})
        if isinstance(ledger, dict):
            ledger.setdefault("data_dir", state)
    subject = Subject(File, known=(*File.model_fields, "device"))
    file, errors = _read(values)
    if file is None or errors:
        return None, [told(page, subject, error) for error in errors]
    return file, list(_rules(page, subject, file))


def _read(values: dict[str, Any]) -> tuple[File | None, list[Any]]:
    """The sections, and pydantic's errors. Only the environment may write a number as text."""
    file: File | None = None
    errors: list[Any] = []
    try:
        file = File(**values)
    except ValidationError as refused:
        errors += refused.errors()
    for name, section in File.model_fields.items():
        misfits = wrong_types(section.annotation, values[name]) if name in values else []
        errors = joined(errors, [{**error, "loc": (name, *error["loc"])} for error in misfits])
    return file, errors


def _rules(page: Page, subject: Subject, file: File) -> Iterator[Problem]:
    """What no single value shows: rules between options, and words that only the code readers know."""
    lines: list[tuple[KeyPath, Broker]] = [
        (("mqtt",), file.mqtt),
        (("backoffice", "broker"), file.backoffice.broker),
    ]
    for where, line in lines:
        if not line.tls and not LOOPBACK.fullmatch(line.host):
            host = (*where, "host")
            said = f"{subject.option(host)} is {shown(line.host)} without TLS; set tls = true, port = 8883"
            yield page.problem(host, said, "SK-C11")
    if not LOOPBACK.fullmatch(file.web.host):
        said = (
            f"{subject.option(('web', 'host'))} is {shown(file.web.host)}; plain pages are for this machine only:"
            " use host = 127.0.0.1, and lan = true for the shop's network"
        )
        yield page.problem(("web", "host"), said, "SK-C12")
    if not file.shop.rcn_region and not file.shop.rcn_template:
        return
    from gateway.stock.gs1 import region_of, template_of  # brings biip: 0.1 s

    for name, read in (("rcn_region", region_of), ("rcn_template", template_of)):
        try:
            read(getattr(file.shop, name))
        except ValueError as error:
            yield page.problem(("shop", name), f"[shop] {error}", "SK-C10")


def _devices(page: Page, written: Any, trust: Trust) -> tuple[list[Device], list[Problem]]:
    """Every `[[device]]` as it may run, and what is wrong. A wrong one has `problem`; the others run."""
    if not isinstance(written, list) or not all(isinstance(one, dict) for one in written):
        said = "a device is a section with two brackets: [[device]]"
        return [], [page.problem(("device",), said, "SK-C05")]
    devices: list[Device] = []
    problems: list[Problem] = []
    for index, options in enumerate(written):
        name = options.get("name")
        called = name if isinstance(name, str) and name else f"device {index + 1}"
        where = ("device", index)
        mistakes: list[Problem] = []
        if called in [device.name for device in devices]:
            said = f'device "{name}": this name is taken by another device; give each its own'
            called = f"{name} (line {page.spots[where].line})"
            mistakes.append(page.problem((*where, "name"), said, "SK-C07", called))
        device, more = _device(page, Subject(Device, where, called), options, trust)
        mistakes += more
        if mistakes:
            told_shortly = "; ".join(f"{one.text} ({one.file} line {one.line})" for one in mistakes)
            device = Device(called, str(options.get("driver", "")), problem=told_shortly)
        assert device is not None
        devices.append(device)
        problems += mistakes
    return devices, problems


def _device(
    page: Page, subject: Subject, written: dict[str, Any], trust: Trust
) -> tuple[Device | None, list[Problem]]:
    """What is ours to read, then what the driver is told, as its own Config understands it."""
    device, errors = validated(Device, {name: value for name, value in written.items() if name in OURS})
    problems = [told(page, subject, error) for error in errors]
    driver = written.get("driver")
    if not isinstance(driver, str):
        return None, problems
    for_driver = {name: value for name, value in written.items() if name not in OURS}
    options, mistakes = _options(page, subject, driver, for_driver, trust)
    if device is not None:
        mistakes = [*_till(page, subject, device), *mistakes]
    if problems or mistakes:
        return None, problems + mistakes
    target = next(one.target for one in installed() if one.name == driver)
    feedback = _outputs_beside(page.path, device.feedback)
    return replace(device, options=options, target=target, feedback=feedback), []


def _till(page: Page, subject: Subject, device: Device) -> Iterator[Problem]:
    """What belongs together in pass-through."""
    said = ""
    if device.forward != "off" and not device.forward_to:
        option, said = "forward", 'needs the way to the till; add a line forward_to = "hidg:/dev/hidg0"'
    elif device.forward == "off" and device.forward_to:
        option, said = "forward_to", 'is not used; add a line forward = "at-once" or "after-commit"'
    elif device.forward_terminator in ("crlf", "lf") and not device.forward_to.startswith("serial:"):
        option, said = "forward_terminator", 'is for a serial line; use "enter", "tab" or "none"'
    if said:
        text = f"{subject.owner(())}: {option} = {shown(getattr(device, option))} {said}"
        yield page.problem((*subject.where, option), text, "SK-C10", subject.device)


def _outputs_beside(path: Path, feedback: str) -> str:
    """Relative paths of recordings are meant from the config file."""
    outputs = [output.strip().partition(":") for output in feedback.split(",")]
    return ",".join(
        f"record:{path.parent / where}" if kind == "record" else f"{kind}{colon}{where}"
        for kind, colon, where in outputs
    )


def _options(
    page: Page, subject: Subject, driver: str, written: dict[str, Any], trust: Trust
) -> tuple[dict[str, Any], list[Problem]]:
    """The driver's options in JSON's types, its defaults filled in."""

    def refused(text: str, code: str) -> tuple[dict[str, Any], list[Problem]]:
        said = f"{subject.owner(())}: {text}"
        return {}, [page.problem((*subject.where, "driver"), said, code, subject.device)]

    names = [one.name for one in installed()]
    if driver not in names:
        return refused(f"driver is {shown(driver)}{did_you_mean(driver, names)}", "SK-C03")
    if driver in trust.refused:
        return refused(
            f'the package of driver "{driver}" crashes or hangs when it is loaded; update it', "SK-C09"
        )
    trust.announce(driver)
    try:
        shape = load(driver).Config
        config, errors = validated(shape, written)
    except ConfigError as error:
        return refused(str(error), "SK-C09")
    driver_subject = replace(subject, shape=shape, known=tuple(OURS))
    if errors:
        return {}, [told(page, driver_subject, error) for error in errors]
    ways = [field.name for field in fields(shape) if field.name in WAYS]
    if ways and all(getattr(config, name) == "" for name in ways):
        said = f'{subject.owner(())}: "{ways[0]}" is missing; add a line {ways[0]} = {WAYS[ways[0]]}'
        return {}, [page.problem(subject.where, said, "SK-C06", subject.device)]
    config = _beside(page.path, config)
    options = {field.name: _plain(getattr(config, field.name)) for field in fields(shape) if field.init}
    unusable = [name for name, value in options.items() if not _fits_json(value)]
    mistakes = [
        page.problem(
            (*subject.where, name),
            f"{subject.option((name,))} is {shown(options[name])}; use a finite number",
            "SK-C02",
            subject.device,
        )
        for name in unusable
    ]
    return options, mistakes


def _beside(path: Path, section: Any) -> Any:
    """Relative paths are meant from the config file."""
    changed = {}
    for field in fields(section):
        value = getattr(section, field.name)
        if isinstance(value, Path):
            changed[field.name] = path.parent / value
        elif is_dataclass(value):
            changed[field.name] = _beside(path, value)
    return replace(section, **changed) if changed else section


def _plain(value: Any) -> Any:
    """A value of a driver's Config in JSON's types: the driver's process makes its Config from these."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return str(value)


def _fits_json(value: Any) -> bool:
    """No infinity and no "not a number": they would not come back as they went."""
    return bool(decode(encode(value), Any) == value)


def _watched(devices: Iterable[Device]) -> Iterator[Watched]:
    """What the proof depends on: the packages installed, our own model, the modules of the drivers in use."""
    yield watch(Path(sysconfig.get_path("purelib")))
    yield watch(Path(config_module.__file__))
    targets = {one.name: one.target.partition(":")[0] for one in installed()}
    for name in sorted({device.driver for device in devices}):
        module = sys.modules.get(targets.get(name, ""))
        if module is not None and module.__file__:
            yield watch(Path(module.__file__))


def main(path: str, *refused: str) -> None:
    """The answer is the last line of stdout; what foreign code prints goes to stderr."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        trust = Trust(refused, lambda driver: print(f"loading {driver}", file=answers, flush=True))
        answers.write(encode(check(Path(path), trust)).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
