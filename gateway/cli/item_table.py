"""Items as a table: from a CSV file that a person made to rows that the ledger takes, and back. Pure.

A row that is wrong says where (row, column), what stands there, what would be right; the good ones go in.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from gateway.ledger.queries import Code, Item, code_key
from gateway.stock.codes import GTIN_LENGTHS, check_digit_is_right

# what people write above a column: ours first, then other words of the languages that the pages speak
HEADS = {
    "sku": ("sku", "article", "item", "id", "artikelnummer", "artikel", "indeks", "symbol"),
    "name": ("name", "title", "description", "bezeichnung", "nazwa"),
    "codes": ("codes", "code", "gtin", "ean", "upc", "barcode", "strichcode", "kod", "kod kreskowy"),
    "category": ("category", "group", "warengruppe", "kategorie", "kategoria", "grupa"),
    "unit": ("unit", "einheit", "jednostka"),
    "price": ("price", "preis", "verkaufspreis", "cena"),
    "cost": ("cost", "purchase price", "einkaufspreis", "koszt", "cena zakupu"),
    "place": ("place", "shelf", "location", "regal", "platz", "półka", "miejsce"),
    "stocked": ("stocked", "bestandsgeführt", "magazynowany"),
    "low": ("low", "minimum", "min", "mindestbestand", "stan minimalny"),
    "supplier": ("supplier", "vendor", "lieferant", "dostawca"),
    "pack": ("pack", "pack size", "gebinde", "opakowanie"),
}
COLUMNS = tuple(HEADS)
UNITS = {
    "piece": ("", "piece", "pieces", "pcs", "pc", "each", "stück", "stk", "szt", "szt."),
    "gram": ("gram", "g", "kg", "gramm", "kilogramm", "kilogram"),
    "millilitre": ("millilitre", "ml", "l", "litre", "liter", "litr"),
}
YES, NO = ("", "1", "yes", "true", "ja", "tak", "x"), ("0", "no", "false", "nein", "nie")
SKU = re.compile(r"[A-Za-z0-9._-]{1,40}")
MONEY = re.compile(r"(\d{1,3}(?:[.,' ]\d{3})+|\d+)(?:[.,](\d{1,2}))?")
SIGNS = re.compile(r"[€$£\s\u00a0\u202f]|zł|EUR|PLN|USD|GBP|CHF")
TEXT_CHARS_MAX = 200
LOOKS_LIKE_A_DIGIT = str.maketrans("oOlI", "0011")


class Wrong(Exception):
    """A cell that cannot be used. The text says what is wrong with it and what would be right."""


@dataclass(frozen=True, slots=True)
class RowError:
    """`row` counts as a spreadsheet does: the head is row 1."""

    row: int
    column: str
    text: str
    cells: Mapping[str, str]

    def __str__(self) -> str:
        return f'row {self.row}, column "{self.column}": {self.text}'


@dataclass(slots=True)
class Table:
    """What a file comes to. `rows` are ready for the ledger; `ignored` are columns that nobody reads."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def read_table(data: bytes, sku_of: Callable[[str], str | None], minor_digits: int = 2) -> Table:
    """A CSV file's items. `sku_of` tells the item behind a code that the ledger knows already."""
    text = decoded(data)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter_of(text))
    head = next(reader, [])
    columns = columns_of(head)
    table = Table(ignored=[name for name, column in zip(head, columns, strict=True) if not column and name])
    if not {"name", "sku", "codes"} & set(columns):
        found = ", ".join(head) or "nothing"
        text = f"no column is called name, sku or gtin (found: {found})"
        table.errors.append(RowError(1, "", text, {}))
        return table
    taken: dict[str, str] = {}
    for number, cells in enumerate(reader, start=2):
        named = dict(zip(columns, cells, strict=False))
        named.pop("", None)
        if any(cell.strip() for cell in cells):
            heads = {column: name for name, column in zip(head, columns, strict=True) if column}
            read_row(table, number, named, heads, sku_of, taken, minor_digits)
    return table


def read_row(
    table: Table,
    number: int,
    cells: dict[str, str],
    heads: dict[str, str],
    sku_of: Callable[[str], str | None],
    taken: dict[str, str],
    minor_digits: int,
) -> None:
    row: dict[str, Any] = {}
    column = "codes"
    try:
        codes = codes_in(cells.get("codes", ""))
        column = "sku"
        row["sku"] = sku_in(cells.get("sku", "").strip(), codes, sku_of)
        for column, read in READERS.items():
            if column in cells:
                key, value = read(cells[column].strip(), minor_digits)
                row[key] = value
        column = "name"
        if not row.get("name") and sku_of(row["sku"]) is None:
            raise Wrong("is empty; a new item needs a name")
        if row.get("name") == "":
            del row["name"]
        column = "codes" if codes else "sku"
        for key in {row["sku"], *(code for code, _ in codes)}:
            if taken.setdefault(key, row["sku"]) != row["sku"] or (
                key == row["sku"] and key in rows_of(table)
            ):
                raise Wrong(f"{key} stands in an earlier row as well; keep one of them")
        if codes:
            row["codes"] = codes
    except Wrong as wrong:
        table.errors.append(RowError(number, heads.get(column, column), str(wrong), cells))
        return
    table.rows.append(row)


def rows_of(table: Table) -> set[str]:
    return {row["sku"] for row in table.rows}


def decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def delimiter_of(text: str) -> str:
    """The one of comma, semicolon and tabulator that the head has most of."""
    head = text.partition("\n")[0]
    return max((",", ";", "\t"), key=head.count)


def columns_of(head: list[str]) -> list[str]:
    """Our name of each column, "" for one that means nothing to us; no name twice."""
    names: list[str] = []
    for name in head:
        plain = name.strip().lower().replace("_", " ")
        ours = next((column for column, words in HEADS.items() if plain in words), "")
        names.append(ours if ours not in names else "")
    return names


def nearest_column(name: str) -> str:
    """'did you mean "price"?' for a column that nobody reads, or ""."""
    near = get_close_matches(name.strip().lower(), [word for words in HEADS.values() for word in words], n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def codes_in(cell: str) -> list[tuple[str, int]]:
    """ "5901234123457 15901234123454*12" -> GTIN-14 and units of each."""
    found = []
    for part in cell.replace(",", " ").replace("|", " ").split():
        code, _, units = part.partition("*")
        if units and not (units.isascii() and units.isdigit() and int(units) > 0):
            raise Wrong(f"{part}: after * stands how many pieces are in that pack, as in {code}*12")
        if code.isascii() and code.isdigit() and len(code) in GTIN_LENGTHS and not check_digit_is_right(code):
            raise Wrong(f"{code} has a wrong check digit; did you mean {right_digit(code)}?")
        found.append((code_key(code), int(units or 1)))
    return found


def right_digit(code: str) -> str:
    return next(code[:-1] + digit for digit in "0123456789" if check_digit_is_right(code[:-1] + digit))


def sku_in(cell: str, codes: list[tuple[str, int]], sku_of: Callable[[str], str | None]) -> str:
    """The item's key: that of a code we know, else the cell, else the code of the single piece."""
    known = next((sku for code, _ in codes if (sku := sku_of(code))), None)
    if cell and not SKU.fullmatch(cell):
        raise Wrong(f'"{cell}" is no key; use up to 40 letters, digits, dots, dashes and underscores')
    if known and cell and known != cell:
        raise Wrong(f"{cell} has a code that belongs to {known} already")
    sku = known or cell or next((code for code, units in codes if units == 1), "")
    if not sku:
        raise Wrong("is empty, and there is no code of a single piece to name the item by")
    return sku


def text_in(key: str) -> Callable[[str, int], tuple[str, Any]]:
    def read(cell: str, _: int) -> tuple[str, Any]:
        if len(cell) > TEXT_CHARS_MAX:
            raise Wrong(f"is longer than {TEXT_CHARS_MAX} characters")
        return key, " ".join(cell.split())

    return read


def money_in(key: str) -> Callable[[str, int], tuple[str, Any]]:
    def read(cell: str, digits: int) -> tuple[str, Any]:
        plain = SIGNS.sub("", cell)
        if not plain:
            return key, None
        match = MONEY.fullmatch(plain)
        if match is None or (digits == 0 and match[2]):
            better = plain.translate(LOOKS_LIKE_A_DIGIT)
            hint = f" Did you mean {better}?" if better != plain and MONEY.fullmatch(better) else ""
            raise Wrong(f'"{cell}" is not a number.{hint}')
        units = int(re.sub(r"\D", "", match[1]))
        return key, units * 10**digits + int((match[2] or "").ljust(digits, "0") or 0)

    return read


def count_in(key: str, least: int) -> Callable[[str, int], tuple[str, Any]]:
    def read(cell: str, _: int) -> tuple[str, Any]:
        if not cell:
            return key, None if least == 0 else 1
        if not (cell.isascii() and cell.isdigit() and int(cell) >= least):
            raise Wrong(f'"{cell}" is no whole number from {least} up')
        return key, int(cell)

    return read


def unit_in(cell: str, _: int) -> tuple[str, Any]:
    unit = next((unit for unit, words in UNITS.items() if cell.lower() in words), None)
    if unit is None:
        raise Wrong(f'"{cell}" is no unit; use piece, gram or millilitre')
    return "unit", unit


def stocked_in(cell: str, _: int) -> tuple[str, Any]:
    if cell.lower() not in YES + NO:
        raise Wrong(f'"{cell}" is neither yes nor no')
    return "stocked", int(cell.lower() in YES)


READERS: dict[str, Callable[[str, int], tuple[str, Any]]] = {
    "name": text_in("name"),
    "category": text_in("category"),
    "unit": unit_in,
    "price": money_in("price_minor"),
    "cost": money_in("cost_minor"),
    "place": text_in("place"),
    "stocked": stocked_in,
    "low": count_in("low_units", 0),
    "supplier": text_in("supplier"),
    "pack": count_in("pack_units", 1),
}


def changes(row: Mapping[str, Any], item: Item | None, codes: Iterable[Code]) -> str:
    """ "new", "changed" or "same", against what the ledger has."""
    if item is None:
        return "new"
    have = {(one.code, one.units) for one in codes}
    fields = {key: value for key, value in row.items() if key not in ("sku", "codes")}
    same = all(int(item.stocked) == value if key == "stocked" else getattr(item, key) == value
               for key, value in fields.items())  # fmt: skip
    return "same" if same and have >= {tuple(code) for code in row.get("codes", [])} else "changed"


def write_table(items: Iterable[tuple[Item, list[Code]]], minor_digits: int = 2) -> str:
    """The items as CSV, so that reading it again changes nothing."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item, codes in items:
        printed = " ".join(one.code if one.units == 1 else f"{one.code}*{one.units}" for one in codes)
        writer.writerow((
            item.sku, item.name, printed, item.category, item.unit, decimal(item.price_minor, minor_digits),
            decimal(item.cost_minor, minor_digits), item.place, int(item.stocked),
            "" if item.low_units is None else item.low_units, item.supplier, item.pack_units,
        ))  # fmt: skip
    return out.getvalue()


def write_errors(errors: Iterable[RowError]) -> str:
    """The rows that were not taken, with a column `error`: to be mended and imported again."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*COLUMNS, "error"))
    for one in errors:
        writer.writerow((*(one.cells.get(column, "") for column in COLUMNS), str(one)))
    return out.getvalue()


def decimal(minor: int | None, digits: int) -> str:
    if minor is None:
        return ""
    return f"{minor // 10**digits}.{minor % 10**digits:0{digits}d}" if digits else str(minor)
