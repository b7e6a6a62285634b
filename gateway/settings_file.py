"""Changes in config.toml that a person asks for on a page or a command line: one section, one value.

The text of the owner is kept as it is, comments and all; a change is proven first, in the short-lived process that
proves every start, and then put in place whole. Where it may not be written, the text to paste is the answer.
"""

import contextlib
import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config import ask_checker
from gateway.errors import SettingsInvalid
from gateway.toml_spots import KeyPath, key_spots, spots

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Change:
    """What became of it. `refused` says why nothing was changed; `paste` is what a person has to write then."""

    written: bool = False
    refused: str = ""
    paste: str = ""


def section(values: Mapping[str, Value]) -> str:
    """A `[[device]]` as it stands in the file, the options that say nothing left out."""
    lines = [f"{key} = {toml(value)}" for key, value in values.items() if value != ""]
    return "\n".join(["[[device]]", *lines, ""])


def toml(value: Value) -> str:
    """A value as TOML writes it: its strings are those of JSON."""
    return json.dumps(value, ensure_ascii=False)


def add_device(path: Path, values: Mapping[str, Value]) -> Change:
    """A new section at the end of the file."""
    before = read(path)
    gap = "" if before.endswith("\n\n") or not before else "\n" if before.endswith("\n") else "\n\n"
    return _change(path, before, f"{before}{gap}{section(values)}", str(values["name"]), section(values))


def change_device(path: Path, name: str, values: Mapping[str, Value]) -> Change:
    """These options of the device `name`, in its section; the rest of the file stays as it is."""
    before = read(path)
    asked = "\n".join(f"{key} = {toml(value)}" for key, value in values.items())
    paste = f'In the [[device]] with name = "{name}":\n{asked}\n'
    try:
        after = with_values(before, name, values)
    except (LookupError, tomllib.TOMLDecodeError) as error:
        return Change(refused=f"{path.name}: {error}", paste=paste)
    return _change(path, before, after, name, paste)


def with_values(source: str, name: str, values: Mapping[str, Value]) -> str:
    """The text with these options in the section of the device `name`. Raises LookupError."""
    devices = tomllib.loads(source).get("device", [])
    at = next((at for at, device in enumerate(devices) if device.get("name") == name), None)
    if at is None:
        raise LookupError(f'there is no [[device]] with name = "{name}"')
    for key, value in values.items():
        source = _with_value(source, ("device", at), key, value)
    return source


def _with_value(source: str, section: KeyPath, key: str, value: Value) -> str:
    """An option that stands there gets its new value, and keeps its comment; another one follows `driver`."""
    lines = source.splitlines(keepends=True)
    values, names = spots(source), key_spots(source)
    if (place := values.get((*section, key))) and (name := names.get((*section, key))):
        line = lines[place.line - 1]
        if place.line != name.line or line[place.column - 1 :].startswith(('"""', "'''", "[", "{")):
            raise LookupError(f"line {place.line}: {key} is written over several lines; change it by hand")
        start = place.column - 1
        lines[place.line - 1] = f"{line[:start]}{toml(value)}{line[start + _length(line[start:]) :]}"
    else:
        anchor = names[(*section, "driver")].line
        if not lines[anchor - 1].endswith("\n"):
            lines[anchor - 1] += "\n"
        lines.insert(anchor, f"{key} = {toml(value)}\n")
    return "".join(lines)


def _length(text: str) -> int:
    """How long the value is at the beginning of `text`, a line: the shortest that TOML reads with what follows."""
    for end in range(1, len(text) + 1):
        rest = text[end:].strip()
        if rest and not rest.startswith("#"):
            continue
        with contextlib.suppress(tomllib.TOMLDecodeError):
            tomllib.loads(f"value = {text[:end]}")
            return len(text[:end].rstrip())
    raise LookupError(f"{text.strip()}: not one value; change it by hand")


def read(path: Path) -> str:
    """The file as it is; "" when there is none yet."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _change(path: Path, before: str, after: str, name: str, paste: str) -> Change:
    """Prove, then write: the file as it was read, and the device named, without a fault."""
    real = path.resolve()  # config.toml may be a link
    try:
        trial = _trial(real.parent, after)
    except OSError as error:
        trial = None
        unwritable = f"{path} cannot be written by this program ({error.strerror})"
    if trial is None:
        trial = _trial(Path(tempfile.gettempdir()), after)
        try:
            return Change(refused=_fault(trial, name) or unwritable, paste=paste)
        finally:
            trial.unlink()
    try:
        if fault := _fault(trial, name):
            return Change(refused=fault, paste=paste)
        if read(path) != before:
            return Change(
                refused=f"{path.name} was changed by somebody else meanwhile; try again", paste=paste
            )
        if real.exists():
            state = real.stat()
            trial.chmod(state.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.chown(trial, state.st_uid, state.st_gid)
        trial.replace(real)
        _flush(real.parent)
    except OSError as error:
        return Change(refused=f"{path} was not written: {error.strerror}", paste=paste)
    finally:
        trial.unlink(missing_ok=True)
    return Change(written=True)


def _trial(folder: Path, text: str) -> Path:
    """The text in a file of its own, on disk, readable by its owner only. Raises OSError."""
    fd, name = tempfile.mkstemp(prefix=".config-", suffix=".toml", dir=folder)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _fault(trial: Path, name: str) -> str:
    """What is wrong with the file as a whole or with the device `name`, or ""."""
    try:
        verdict = ask_checker(trial)
    except SettingsInvalid as error:
        return str(error)
    if verdict.settings is None:  # the file as a whole: its owner wants the line
        return "; ".join(f"line {one.line}: {one.text}" for one in verdict.problems)
    return "; ".join(one.text for one in verdict.problems if one.device.partition(" (")[0] == name)


def _flush(folder: Path) -> None:
    """The new name is on disk, too."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
