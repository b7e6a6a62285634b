"""A daily series in a CSV file, as rows for `plans`: the same for a shop's command line and for the back office."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.ledger.plans import factor_day, factor_name, finite

DAYS_PER_ROW = 500  # of a document or a command: some 15 kB


@dataclass(frozen=True, slots=True)
class FactorFile:
    """What was read: `rows` are bodies of factors, `wrong` says in words which lines are left out."""

    name: str
    days: int
    rows: list[dict[str, Any]]
    wrong: list[str]


def read_factor(file: Path, name: str | None, *, known_ahead: bool) -> FactorFile:
    """Columns day (YYYY-MM-DD) and value. Raises ValueError for a name or a file that is none."""
    called = factor_name(name or file.stem.lower())
    days: list[tuple[str, float]] = []
    wrong = []
    for number, line in lines(file, ("day", "value")):
        try:
            days.append((factor_day(line["day"].strip()), finite(line["value"].strip().replace(",", "."))))
        except ValueError as error:
            wrong.append(f"{file.name} row {number}: {error}. Row left out")
    rows: list[dict[str, Any]] = [
        {"name": called, "known_ahead": known_ahead, "days": days[start : start + DAYS_PER_ROW]}
        for start in range(0, len(days), DAYS_PER_ROW)
    ]
    return FactorFile(called, len(days), rows, wrong)


def lines(file: Path, wanted: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """(row number, columns). Raises ValueError when a column is missing or the file is no text."""
    with file.open(newline="", encoding="utf-8-sig") as table:
        reader = csv.DictReader(table)
        missing = [name for name in wanted if name not in (reader.fieldnames or ())]
        if missing:
            columns = ", ".join(reader.fieldnames or ()) or "nothing"
            raise ValueError(f"{file.name}: the first line has no column {missing[0]!r} (it has {columns})")
        for number, line in enumerate(reader, 2):
            yield number, {name: value or "" for name, value in line.items() if name}
