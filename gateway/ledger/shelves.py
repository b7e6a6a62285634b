"""What ingest must know about the shop, from the writer's own connection, remembered within bounds.

Nobody else writes, so what is remembered stays true: bookings are applied to it as they are made, and
after a failed commit it is forgotten.
"""

import sqlite3
from collections import deque
from functools import lru_cache
from typing import Any, NamedTuple

from drivers.contract import Outcome
from gateway.interpret import Parked
from gateway.ledger.writer import UNDO_ROWS_MAX
from gateway.stock.items import Item, Known
from gateway.stock.lots import LotStock
from gateway.stock.movements import VIRTUAL, Draft

REMEMBERED_MAX = 4_096  # codes, and shelves: a shop's running range, whatever the size of its catalogue

BOOKED = """SELECT seq, kind, sku, qty, src, dst, lot, expiry, serial, reason, doc, value_minor, origin,
    qty_src, idem FROM movement AS booked"""


class ParkedScan(NamedTuple):
    """A scan that waited for its code to get a name."""

    device: str
    boot: str
    seq: int  # of the reading
    what: Parked
    wall_us: int
    quality: str  # of the clock


class LedgerShelves:
    """`gateway.interpret.Shelves` over the ledger."""

    def __init__(self, ledger: sqlite3.Connection) -> None:
        self.ledger = ledger
        self.known = lru_cache(REMEMBERED_MAX)(self._find_code)
        self._shelf = lru_cache(REMEMBERED_MAX)(self._find_shelf)  # its lots, which `booked` changes in place

    def forget(self, ledger: sqlite3.Connection) -> None:
        """After a failed commit, or when items changed."""
        self.ledger = ledger
        self.known.cache_clear()
        self._shelf.cache_clear()

    def is_item(self, sku: str) -> bool:
        return self.ledger.execute("SELECT 1 FROM item WHERE sku = ?", (sku,)).fetchone() is not None

    def lots(self, sku: str, location: str) -> list[LotStock]:
        return list(self._shelf(sku, location).values())

    def on_hand(self, sku: str, location: str) -> int:
        """The sum over all lots."""
        return sum([lot.quantity for lot in self._shelf(sku, location).values()])

    def last_booking(self, device: str) -> list[tuple[int, Draft]]:
        rows = self.ledger.execute(
            f"""{BOOKED}
               WHERE seq > (SELECT max(seq) FROM movement) - ? AND device = ? AND reverses IS NULL
                 AND NOT EXISTS (SELECT 1 FROM movement WHERE reverses = booked.seq)
               ORDER BY coalesce(occurred_us, wall_us) DESC, seq DESC LIMIT 32""",
            (UNDO_ROWS_MAX, device),
        ).fetchall()
        if not rows:
            return []
        newest = _reading_of(rows[0][-1])
        return [(row[0], _draft(row)) for row in reversed(rows) if _reading_of(row[-1]) == newest]

    def last_parked(self, device: str) -> tuple[str, int, str] | None:
        """(boot, reading seq, code as read) when the last thing this scanner read was parked."""
        return self.ledger.execute(  # type: ignore[no-any-return]  # sqlite3 does not know its columns
            """SELECT boot, seq, data FROM parked WHERE device = ?1 AND state = 'parked' AND wall_us >
                 coalesce((SELECT max(coalesce(occurred_us, wall_us)) FROM movement
                           WHERE seq > (SELECT max(seq) FROM movement) - ?2 AND device = ?1), 0)
               ORDER BY wall_us DESC LIMIT 1""",
            (device, UNDO_ROWS_MAX),
        ).fetchone()

    def parked_that_have_a_name(self) -> deque[ParkedScan]:
        """Scans of codes that got a name since, the oldest first."""
        rows = self.ledger.execute(
            """SELECT device, boot, seq, wall_us, clock_q, code, data, aim, mode, loc, qty, argument
               FROM parked JOIN code USING (code) WHERE state = 'parked' ORDER BY wall_us"""
        )
        return deque(
            ParkedScan(device, boot, seq, Parked(*what), wall_us, quality)
            for device, boot, seq, wall_us, quality, *what in rows
        )

    def document_answer(self, device: str, external_id: str) -> Outcome | None:
        """What became of a document that was sent before."""
        row = self.ledger.execute(
            "SELECT code, text FROM document_seen WHERE device = ? AND external_id = ?", (device, external_id)
        ).fetchone()
        return Outcome(*row) if row else None

    def name(self, sku: str) -> str:
        """What people call the item; its SKU when nobody has named it."""
        row = self.ledger.execute("SELECT name FROM item WHERE sku = ?", (sku,)).fetchone()
        return row[0] if row else sku

    def booking(self, seq: int) -> list[tuple[int, Draft]]:
        """One movement by its seq, when it can be taken back."""
        rows = self.ledger.execute(
            f"""{BOOKED}
               WHERE seq = ? AND reverses IS NULL
                 AND NOT EXISTS (SELECT 1 FROM movement WHERE reverses = booked.seq)""",
            (seq,),
        ).fetchall()
        return [(row[0], _draft(row)) for row in rows]

    def open_alert(self, number: int) -> tuple[str, str] | None:
        """(kind, subject) of an alert that nobody closed yet."""
        return self.ledger.execute(  # type: ignore[no-any-return]  # sqlite3 does not know its columns
            "SELECT kind, subject FROM alert WHERE id = ? AND state <> 'closed'", (number,)
        ).fetchone()

    def booked(self, draft: Draft) -> list[tuple[str, int, int]]:
        """Apply a booking: (location, on hand before, and now) of each real shelf that it touches."""
        moved = []
        for location, change in ((draft.source, -draft.quantity), (draft.destination, draft.quantity)):
            if location in VIRTUAL:
                continue
            shelf = self._shelf(draft.sku, location)
            total = sum([lot.quantity for lot in shelf.values()])
            before = shelf.get(draft.lot)
            quantity = change + (before.quantity if before else 0)
            expires_on = draft.expires_on or (before.expires_on if before else None)
            shelf[draft.lot] = LotStock(draft.lot, quantity, expires_on)
            moved.append((location, total, total + change))
        return moved

    def _find_shelf(self, sku: str, location: str) -> dict[str, LotStock]:
        rows = self.ledger.execute(
            """SELECT lot, qty, expiry FROM balance LEFT JOIN lot USING (sku, lot)
               WHERE sku = ? AND loc = ? AND (qty <> 0 OR lot = '')""",
            (sku, location),
        )
        return {lot: LotStock(lot, quantity, expiry) for lot, quantity, expiry in rows}

    def _find_code(self, code: str) -> Known | None:
        row = self.ledger.execute(
            """SELECT sku, name, unit, price_minor, cost_minor, place, stocked, low_units, blocked, units
               FROM code JOIN item USING (sku) WHERE code = ?""",
            (code,),
        ).fetchone()
        if row is None:
            return None
        sku, name, unit, price_minor, cost_minor, place, stocked, low_units, blocked, units = row
        item = Item(sku, name, unit, price_minor, cost_minor, place, bool(stocked), low_units, blocked)
        return Known(item, units)


def _reading_of(idem: str) -> str:
    """device/boot/seq of device/boot/seq/part: the movements of one reading are undone together."""
    return idem.rpartition("/")[0]


def _draft(row: tuple[Any, ...]) -> Draft:
    _, kind, sku, qty, src, dst, lot, expiry, serial, reason, doc, value_minor, origin, qty_src, _ = row
    return Draft(
        kind=kind,
        sku=sku,
        quantity=qty,
        source=src,
        destination=dst,
        lot=lot,
        expires_on=expiry,
        serial=serial,
        reason=reason,
        document=doc,
        value_minor=value_minor,
        origin=origin,
        quantity_source=qty_src,
    )
