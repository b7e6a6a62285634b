"""Statements that write master data: items and their codes, named codes. Carried out inside a batch."""

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.contract import Outcome

DOCUMENT_SEEN_DAYS = 90

Statement = tuple[str, Sequence[object]]

PLAN_KEYS = ("plan", "factor", "like")  # a row that has one is of `plans`
COLUMNS = (
    "name",
    "category",
    "unit",
    "price_minor",
    "cost_minor",
    "place",
    "stocked",
    "low_units",
    "supplier",
    "pack_units",
)


def upsert_item(row: Mapping[str, Any], now_us: int) -> list[Statement]:
    """`row` has "sku", any of COLUMNS, and "codes": [[code, units], ...]. What is absent stays as it is.

    Or it is a row of what people know of the shop's days: see `plans`. Raises ValueError where that makes no sense.
    """
    if not row.keys().isdisjoint(PLAN_KEYS):
        from gateway.ledger import plans  # which knows this module's Statement

        return plans.statements_of(row, now_us)
    given = [name for name in COLUMNS if name in row]
    slots = ["coalesce(?, (SELECT name FROM item WHERE sku = ?), ?)"]  # of the name, which may not be absent
    values: list[object] = [row.get("name"), row["sku"], row["sku"]]
    for name in given:
        if name != "name":
            slots.append("?")
            values.append(row[name])
    named = ["name", *(name for name in given if name != "name")]
    statements: list[Statement] = [
        (
            f"INSERT INTO item (sku, changed_us, {', '.join(named)}) VALUES (?, ?, {', '.join(slots)})"
            " ON CONFLICT DO UPDATE SET changed_us = excluded.changed_us"
            + "".join(f", {name} = excluded.{name}" for name in named),
            (row["sku"], now_us, *values),
        )
    ]
    statements += [name_code(code, row["sku"], units) for code, units in row.get("codes", [])]
    return statements


def name_code(code: str, sku: str, units: int = 1) -> Statement:
    return (
        "INSERT INTO code (code, sku, units) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET sku = excluded.sku, units = excluded.units",
        (code, sku, units),
    )


def document_answered(device: str, external_id: str, now_us: int, outcome: Outcome) -> list[Statement]:
    """Remember what became of a document; what is older than a sender's patience is forgotten."""
    return [
        (
            "INSERT OR IGNORE INTO document_seen VALUES (?, ?, ?, ?, ?)",
            (device, external_id, now_us, outcome.code, outcome.text),
        ),
        ("DELETE FROM document_seen WHERE wall_us < ?", (now_us - DOCUMENT_SEEN_DAYS * 86_400_000_000,)),
    ]


def parked_is(state: str, device: str, boot: str, seq: int) -> Statement:
    """A parked scan was booked, or somebody decided that it never will be."""
    return (
        "UPDATE parked SET state = ? WHERE device = ? AND boot = ? AND seq = ?",
        (state, device, boot, seq),
    )
