"""Where things stand in a TOML file that `tomllib` has read: keys -> line and column of value and name.

`tomllib` gives values without positions. This walks the same text once more and notes positions only.
"""

import json
import re
from collections.abc import Callable
from typing import NamedTuple

KeyPath = tuple[str | int, ...]  # ("device", 0, "port"): the port of the first [[device]]

BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
DOT = re.compile(r"[ \t]*\.[ \t]*")
EQUALS = re.compile(r"[ \t]*=[ \t]*")
KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
STRING = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""(?:"{1,2}(?!"))?|\'\'\'.*?\'\'\'(?:'{1,2}(?!'))?|"(?:[^"\\\n]|\\.)*"|'[^'\n]*\'''',
    re.DOTALL,
)
BARE = re.compile(r"[^,\]}\n#]*[^,\]}\s#]")  # numbers, dates, true


class Spot(NamedTuple):
    """1-based line and column: of a value, or of a table's opening bracket."""

    line: int
    column: int


def spots(source: str) -> dict[KeyPath, Spot]:
    """Every table and every value of a valid TOML text with its place."""
    walk = _Walk(source)
    walk.document()
    return {path: spot_at(source, offset) for path, offset in walk.found.items()}


def key_spots(source: str) -> dict[KeyPath, Spot]:
    """Every `name =` of a valid TOML text with the place of the name; the last part of a dotted one."""
    walk = _Walk(source)
    walk.document()
    return {path: spot_at(source, offset) for path, offset in walk.named.items()}


def spot_at(source: str, offset: int) -> Spot:
    line_start = source.rfind("\n", 0, offset) + 1
    return Spot(source.count("\n", 0, offset) + 1, offset - line_start + 1)


class _Walk:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.found: dict[KeyPath, int] = {}
        self.named: dict[KeyPath, int] = {}
        self._tables: dict[KeyPath, int] = {}  # array of tables -> how many so far

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip(BLANK) < len(self.source):
            if self.source.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        start = self.at
        brackets = 2 if self.source.startswith("[[", start) else 1
        self.at += brackets
        *parents, last = [key for key, _ in self._keys()]
        self.at = self.source.index("]" * brackets, self.at) + brackets
        path = (*self._resolved(parents), last)
        if brackets == 2:
            index = self._tables.get(path, 0)
            self._tables[path] = index + 1
            self.found.setdefault(path, start)
            path = (*path, index)
        self.found.setdefault(path, start)
        return path

    def _resolved(self, keys: list[str]) -> KeyPath:
        """The newest table of each array of tables is meant: `[device.more]` belongs to the last device."""
        path: KeyPath = ()
        for key in keys:
            path = (*path, key)
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
        return path

    def _pair(self, table: KeyPath) -> None:
        start = self.at
        path = table
        for key, key_start in self._keys():
            path = (*path, key)
            self.found.setdefault(path, start)
            self.named.setdefault(path, key_start)
        self._skip(EQUALS)
        self._value(path)

    def _keys(self) -> list[tuple[str, int]]:
        """The parts of a dotted name, each with where it begins."""
        keys = []
        while True:
            start = self._skip(BLANK)
            key = self._take(KEY)
            keys.append((json.loads(key) if key[0] == '"' else key.strip("'"), start))
            if not DOT.match(self.source, self.at):
                return keys
            self._skip(DOT)

    def _value(self, path: KeyPath) -> None:
        self.found[path] = self.at
        opening = self.source[self.at]
        if opening == "[":
            self._members("]", lambda count: self._value((*path, count)))
        elif opening == "{":
            self._members("}", lambda _: self._pair(path))
        elif opening in "\"'":
            self._take(STRING)
        else:
            self._take(BARE)

    def _members(self, closing: str, member: Callable[[int], None]) -> None:
        self.at += 1
        count = 0
        while self.source[self._skip(BLANK)] != closing:
            if self.source[self.at] == ",":
                self.at += 1
            else:
                member(count)
                count += 1
        self.at += 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        if match := pattern.match(self.source, self.at):
            self.at = match.end()
        return self.at

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.source, self.at)
        if match is None:
            raise ValueError(f"not valid TOML at {spot_at(self.source, self.at)}")
        self.at = match.end()
        return match[0]
