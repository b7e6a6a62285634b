"""What the commands for integrators hold against what a driver made: the contract, and the recordings."""

import math
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from drivers.contract import AnyReading, Reading
from gateway.errors import Trouble
from gateway.mistakes import Page, not_toml, not_utf8, unreadable

FIXTURES = Path("hw_fixtures")
SHOWN_CHARS_MAX = 200

_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode = msgspec.json.Decoder(AnyReading).decode


class NoReading(Trouble):
    """The driver made something that the daemon would not understand."""


class RecordingUnusable(Trouble):
    """A file of the recordings is missing or does not say what it must."""


def as_line(reading: Any) -> bytes:
    """The reading as the daemon would get it, in JSON. Raises NoReading."""

    def refused(why: object) -> NoReading:
        shown = repr(reading)[:SHOWN_CHARS_MAX]
        return NoReading(f"the driver made something that is no reading: {shown}: {why}")

    if not isinstance(reading, Reading):
        raise refused("make one of those in drivers.contract")
    try:
        line: bytes = _encode(reading)
        understood = _decode(line)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise refused(error) from error
    for name in reading.__struct_fields__:
        if why := _misfit(getattr(reading, name), getattr(understood, name)):
            raise refused(f"{name} {why}")
    return line


def as_row(reading: AnyReading) -> dict[str, Any]:
    """The reading as the door prints it. Raises NoReading."""
    row: dict[str, Any] = msgspec.json.decode(as_line(reading))
    return row


def difference(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> str:
    """Where two rows of readings part, or "". Evidence (raw_hex) counts where the expectation has it."""
    for number, (one, wanted) in enumerate(zip(found, expected, strict=False), start=1):
        seen = {key: value for key, value in one.items() if key != "raw_hex" or key in wanted}
        if seen != wanted:
            return f"reading {number} is {_shown(seen)}, expected {_shown(wanted)}"
    if len(found) > len(expected):
        return f"reading {len(expected) + 1} is {_shown(found[len(expected)])}, expected no more"
    if len(found) < len(expected):
        return f"reading {len(found) + 1} is missing, expected {_shown(expected[len(found)])}"
    return ""


def expectations(driver: str, folder: Path | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The recordings of this driver and what stands beside them. Raises RecordingUnusable."""
    described = {path.with_suffix("") for path in _below(folder, "toml")}
    recorded = {path.with_suffix("") for path in _below(folder, "bytes")}
    place = folder or FIXTURES
    others = set()
    mine = 0
    for stem in sorted(described | recorded):
        sheet, recording = _beside(stem, "toml"), _beside(stem, "bytes")
        if stem not in described:
            raise RecordingUnusable(f"{sheet} is missing: say there what {recording.name} must mean")
        facts = _facts(sheet)
        if stem in recorded and "driver" not in facts:
            raise RecordingUnusable(f'{sheet}: "driver" is missing; add a line driver = "{driver}"')
        if facts.get("driver") != driver:
            others.add(str(facts.get("driver", "")))
            continue
        if stem not in recorded:
            raise RecordingUnusable(f"{recording} is missing: the bytes of which {sheet.name} tells")
        _check_facts(sheet, facts)
        mine += 1
        yield recording, facts
    if not mine:
        there = f" (there are some of {', '.join(sorted(others - {''}))})" if others - {""} else ""
        remedy = "say another folder, or make one with storekeeper driver record"
        raise RecordingUnusable(f"no recordings of {driver} in {place}{there}; {remedy}")


def _below(folder: Path | None, ending: str) -> list[Path]:
    """In the folder itself, in folders of it, or in the hw_fixtures of a package."""
    if folder is None:
        return sorted(FIXTURES.glob(f"*/*.{ending}"))
    for pattern in (f"{FIXTURES}/*/*", "*", "*/*"):
        if any(folder.glob(f"{pattern}.bytes")):
            return sorted(folder.glob(f"{pattern}.{ending}"))
    return sorted(folder.glob(f"*.{ending}"))


def _beside(stem: Path, ending: str) -> Path:
    return stem.parent / f"{stem.name}.{ending}"


def _facts(sheet: Path) -> dict[str, Any]:
    try:
        source = sheet.read_bytes().decode("utf-8")
        return tomllib.loads(source)
    except OSError as error:
        problem = unreadable(sheet, error)
    except UnicodeDecodeError as error:
        problem = not_utf8(sheet, error)
    except tomllib.TOMLDecodeError as error:
        problem = not_toml(Page(sheet, source, {}, {}), str(error))
    raise RecordingUnusable(str(replace(problem, file=str(sheet))))


def _check_facts(sheet: Path, facts: dict[str, Any]) -> None:
    readings = facts.get("readings")
    if not isinstance(readings, list) or not all(isinstance(one, dict) for one in readings):
        remedy = "write a section [[readings]] for each, or readings = [] when there is none"
        raise RecordingUnusable(f"{sheet}: it must say which readings the bytes mean; {remedy}")
    if not isinstance(facts.get("settings", {}), dict):
        raise RecordingUnusable(f'{sheet}: settings is no section; write settings = {{ unit = "kg" }}')


def _misfit(made: Any, understood: Any) -> str:
    """Why a field would not arrive as it was made: b"12", a float for a Decimal, "not a number"."""
    if isinstance(made, dict):  # the body of a document: what JSON makes of it is what is meant
        return ""
    if isinstance(made, float | Decimal) and not math.isfinite(made):
        return f"is {made}: use a finite number, or none and say why in error"
    if isinstance(understood, float) and isinstance(made, int):
        return ""
    if not isinstance(made, type(understood)):
        return f"is a {type(made).__name__}, not a {type(understood).__name__}"
    return ""


def _shown(row: dict[str, Any]) -> str:
    return _encode(row).decode()
