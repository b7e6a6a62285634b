"""Mistakes in config.toml in the shop's words: place, what is, what would be right.

Pydantic and tomllib say what kind of mistake it is and where; their own wording is not shown.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import DocInfo, Ge, Gt, Le, Lt

from gateway.config import ENV_PREFIX, Problem
from gateway.toml_spots import KeyPath, Spot

SHOWN_VALUE_CHARS_MAX = 40
SHOWN_LINE_CHARS_MAX = 160
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
SECRET = re.compile(r"""((?:password|passwd|secret|token|api_?key)["']?\s*=\s*).+""", re.IGNORECASE)
UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")  # pydantic's words
MISSING = ("missing", "missing_argument")
SYNTAX = {  # what tomllib says -> what a person should do
    "Invalid value": 'there is no valid value here; a text needs quotes: name = "Corner"',
    "Expected '=' after a key in a key/value pair": 'there is no "=" after the name of the option',
    "Expected newline or end of document after a statement": "the line goes on after the value",
    "Expected ']' at the end of a table declaration": 'the closing "]" of the section is missing',
    "Expected ']]' at the end of an array declaration": 'the closing "]]" of the section is missing',
    "Cannot overwrite a value": "this option stands here a second time; delete one of the two",
    "Invalid initial character for a key part": "no option can begin like this",
    "Unterminated string": "the closing quote is missing",
    "Unclosed array": 'the closing "]" of the list is missing',
    "Unclosed inline table": 'the closing "}" is missing',
    "Illegal character '\\n'": "the closing quote is missing",
}


@dataclass(frozen=True, slots=True)
class Page:
    """The file as a person sees it."""

    path: Path
    source: str
    spots: Mapping[KeyPath, Spot]  # of the values
    keys: Mapping[KeyPath, Spot]  # of their names

    def problem(
        self, where: KeyPath, text: str, code: str, device: str = "", *, in_name: bool = False
    ) -> Problem:
        """At the value, or at what is nearest above it; at the environment when it comes from there."""
        if in_name and where in self.keys:
            return self.at(self.keys[where], text, code, device)
        variable = ENV_PREFIX + "__".join(str(part).upper() for part in where)
        if where not in self.spots and variable in os.environ:
            return Problem(f"environment {variable}", 0, 0, text, code)
        while where and where not in self.spots:
            where = where[:-1]
        return self.at(self.spots.get(where, Spot(1, 1)), text, code, device)

    def at(self, spot: Spot, text: str, code: str, device: str = "") -> Problem:
        lines = self.source.splitlines()
        line = lines[spot.line - 1] if spot.line <= len(lines) else ""
        shown = SECRET.sub(r"\1...", line.replace("\t", " "))[:SHOWN_LINE_CHARS_MAX]
        return Problem(self.path.name, spot.line, spot.column, text, code, shown, device)


@dataclass(frozen=True, slots=True)
class Subject:
    """What was checked: the sections of the file, or one device, or what its driver is told."""

    shape: Any  # the class whose type hints say what is allowed
    where: KeyPath = ()
    device: str = ""
    known: tuple[str, ...] = ()  # options that this place has besides those of `shape`
    called: str = ""  # whose options these are, when they are not of a file: "driver my_scale"

    @property
    def is_file(self) -> bool:
        return not self.device and not self.called

    def owner(self, loc: KeyPath) -> str:
        """ "[mqtt]", or "device "counter"": whose option it is."""
        if self.is_file:
            return f"[{'.'.join(map(str, loc))}]"
        return self.called or f'device "{self.device}"'

    def option(self, loc: KeyPath) -> str:
        """ "[mqtt] port", or "device "counter": baud"."""
        if not self.is_file:
            return f"{self.owner(())}: {'.'.join(map(str, loc))}"
        return f"{self.owner(loc[:-1])} {loc[-1]}" if len(loc) > 1 else self.owner(loc)


def told(page: Page, subject: Subject, error: Any) -> Problem:
    """One of pydantic's errors, its `loc` relative to the subject, in our words and at its place."""
    text, code = said(subject, error)
    where = (*subject.where, *error["loc"])
    if error["type"] in MISSING:
        where = where[:-1]
    return page.problem(where, text, code, subject.device, in_name=error["type"] in UNKNOWN)


def said(subject: Subject, error: Any) -> tuple[str, str]:
    """One of pydantic's errors in our words, and its code."""
    loc, kind, value = tuple(error["loc"]), error["type"], error["input"]
    if kind in UNKNOWN:
        return _unknown(subject, loc), "SK-C01"
    if kind in MISSING:
        return f'{subject.owner(loc[:-1])}: "{loc[-1]}" is missing; add a line {loc[-1]} = ...', "SK-C06"
    if kind == "value_error" and not loc:
        return f"{subject.owner(())}: {error['ctx']['error']}", "SK-C10"
    remedy, code = _remedy(kind, value, _annotation(subject.shape, loc), error)
    return f"{subject.option(loc)} is {shown(value)}{remedy}", code


def unreadable(path: Path, error: OSError) -> Problem:
    remedy = "say another one: -c FILE"
    if isinstance(error, PermissionError):
        remedy = "try as the service's user: sudo -u storekeeper storekeeper ..."
    said = f"the file cannot be read: {error.strerror}; {remedy}"
    return Problem(str(path), 0, 0, said, "SK-C08")


def not_utf8(path: Path, error: UnicodeDecodeError) -> Problem:
    before = error.object[: error.start].decode("utf-8")
    said = "the file is not UTF-8 here (a letter from an old editor?); save it as UTF-8"
    return Problem(path.name, before.count("\n") + 1, len(before) - before.rfind("\n"), said, "SK-C04")


def not_toml(page: Page, message: str) -> Problem:
    """tomllib's message in our words; its place is at the end of it."""
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if found is None:
        return page.at(Spot(1, 1), message, "SK-C04")
    said, line, column = found.groups()
    lines = page.source.splitlines() or [""]
    spot = Spot(int(line), int(column)) if line else Spot(len(lines), len(lines[-1]) + 1)
    if declared := re.fullmatch(r"Cannot declare \((.*?),?\) twice", said):
        name = declared[1].replace("'", "").replace(", ", ".")
        return page.at(spot, f"section [{name}] stands here a second time; join the two", "SK-C04")
    return page.at(spot, SYNTAX.get(said, said[:1].lower() + said[1:]), "SK-C04")


def did_you_mean(word: Any, words: list[str]) -> str:
    """'; did you mean "tls"?', or all that there is."""
    near = get_close_matches(str(word), words, n=1)
    if near:
        return f'; did you mean "{near[0]}"?'
    *most, last = [f'"{one}"' for one in words] or ["nothing"]
    return f"; use {', '.join(most)} or {last}" if most else f"; use {last}"


def shown(value: Any) -> str:
    """As it stands in TOML, bounded."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f'"{value}"' if isinstance(value, str) else "a section" if isinstance(value, dict) else str(value)
    return text if len(text) <= SHOWN_VALUE_CHARS_MAX else f"{text[:SHOWN_VALUE_CHARS_MAX]}..."


def _unknown(subject: Subject, loc: KeyPath) -> str:
    *parents, last = loc
    shape = _annotation(subject.shape, tuple(parents))
    known = [field.name for field in fields(shape)] if is_dataclass(shape) else []
    if subject.is_file and not parents:
        sections = list(subject.known)
        return f'"{last}" is not a section{did_you_mean(last, sections)}'
    if not parents:
        known += subject.known
    return f'{subject.owner(tuple(parents))}: "{last}" is not an option{did_you_mean(last, known)}'


def _remedy(kind: str, value: Any, annotation: Any, error: Any) -> tuple[str, str]:
    """'; use 1 to 65535 (1883 plain, 8883 TLS)', and the code."""
    docs = [one.documentation for one in _metadata(annotation) if isinstance(one, DocInfo)]
    explained = f" ({docs[0]})" if docs else ""
    if kind in ("greater_than_equal", "less_than_equal", "greater_than", "less_than"):
        return f"; use {_range(annotation)}{explained}", "SK-C02"
    if kind == "literal_error":
        return did_you_mean(value, _choices(annotation)), "SK-C03"
    if kind == "predicate_failed":
        return f"; use {docs[0]}" if docs else "; use another value", "SK-C10"
    if kind == "value_error":
        return f": {error['ctx']['error']}", "SK-C10"
    family = kind.partition("_")[0]
    if family in ("int", "float", "decimal"):
        number = "a whole number" if family == "int" else "a number"
        limits = _range(annotation)
        unquoted = ", without quotes" if isinstance(value, str) and NUMBER.fullmatch(value) else ""
        return f"; use {number}{', ' if limits else ''}{limits}{unquoted}{explained}", "SK-C05"
    form = {
        "bool": "true or false, without quotes",
        "list": "a list: [1, 2]",
        "tuple": "a list: [1, 2]",
        "dataclass": "a section with options of its own",
        "dict": "a section with options of its own",
    }.get(family, "a text in quotes" if isinstance(value, (dict, list)) else f'a text in quotes: "{value}"')
    return f"; use {form}", "SK-C05"


def _annotation(shape: Any, loc: KeyPath) -> Any:
    """The type hint of an option, with what `Annotated` says about it."""
    for part in loc:
        if not isinstance(shape, type):
            return shape
        shape = get_type_hints(shape, include_extras=True).get(str(part))
    return shape


def _metadata(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()


def _choices(annotation: Any) -> list[str]:
    inner = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    parts = [inner, *get_args(inner)]
    return [str(word) for part in parts if get_origin(part) is Literal for word in get_args(part)]


def _range(annotation: Any) -> str:
    """ "1 to 65535", "at least 1", or nothing."""
    low = high = None
    for one in _metadata(annotation):
        match one:
            case Ge(ge=bound) | Gt(gt=bound):
                low = bound
            case Le(le=bound) | Lt(lt=bound):
                high = bound
    if low is None:
        return "" if high is None else f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"
